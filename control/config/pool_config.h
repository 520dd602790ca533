// What a pool may be told, and what holds where it was told nothing. Used by the server, and by greenctl to check a
// file without one. Thread-safe; never blocks.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "control/config/field_violations.h"
#include "google/protobuf/field_mask.pb.h"
#include "greenring/control/v1/config.pb.h"
#include "greenring/control/v1/pool.pb.h"

namespace greenring::control {

namespace v1 = ::greenring::control::v1;

// Every default, filled in; stack_pages becomes stack_size_bytes.
void FillDefaults(v1::Pool* pool);

// Everything that is wrong with a pool, output-only fields aside. Before or after FillDefaults.
std::vector<FieldViolation> Validate(const v1::Pool& pool);

// What is wrong with pools beside one another: names that are there twice, routes that are the same. Fields as in
// Configuration ("pools[1].routes[0]").
std::vector<FieldViolation> ValidateTogether(const std::vector<v1::Pool>& pools);
std::vector<FieldViolation> Validate(const v1::Configuration& configuration);

// `old` with what `mask` names taken from `changes`; an empty mask: every field that is set in `changes`; "*": all but
// output-only fields. A path that does not exist, or is output only, is a violation of "update_mask".
absl::StatusOr<v1::Pool> Merge(const v1::Pool& old, const v1::Pool& changes, const google::protobuf::FieldMask& mask);

// What a change of a pool takes. Both filled in.
enum class ChangeKind {
  kNone,   // the same configuration
  kLive,   // running workers take it
  kStart,  // workers have to be replaced
};
ChangeKind KindOfChange(const v1::Pool& from, const v1::Pool& to);

// Whether only cores change: what a canary is possible for.
bool IsCoresOnly(const v1::Pool& from, const v1::Pool& to);

// Of the configuration, without output-only fields: same text, same configuration.
std::string EtagOf(const v1::Pool& pool);

}  // namespace greenring::control
