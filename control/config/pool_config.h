// What a pool may be told, and what holds where it was told nothing. Used by the server, and by greenctl to check a
// file without one.
//
//   FillDefaults(&pool);
//   if (absl::Status status = ToStatus(Validate(pool)); !status.ok()) return status;
//
// Thread-safe. Validate looks users and groups up, which blocks where the system asks the network for them.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "control/config/field_violations.h"
#include "google/protobuf/field_mask.pb.h"
#include "greenring/control/v1/config.pb.h"
#include "greenring/control/v1/pool.pb.h"

namespace greenring::control {

// Every default, filled in; stack_pages becomes stack_size_bytes, and a name without "pools/" gets it. What is wrong
// stays as it is, for Validate to find.
void FillDefaults(v1::Pool* pool);
// Those of all pools, and where the API is.
void FillDefaults(v1::Configuration* configuration);

// Where a server's API is, and greenctl looks for it, when nobody says: see Control.addresses.
std::string DefaultControlAddress();

// Everything that is wrong with a pool, output-only fields aside. Before or after FillDefaults.
std::vector<FieldViolation> Validate(const v1::Pool& pool);

// What is wrong with pools beside one another: names that are there twice, and addresses that several pools listen on
// without being told apart by their routes, or without agreeing on the rest of the listener. Fields as in Configuration
// ("pools[1].routes[0]").
std::vector<FieldViolation> ValidateTogether(const std::vector<v1::Pool>& pools);

// Whether they have an address in common, port 0 aside.
bool ShareAddress(const v1::Pool& left, const v1::Pool& right);

std::vector<FieldViolation> Validate(const v1::Configuration& configuration);

// `old` with what `mask` names taken from `changes`; an empty mask: every field that is set in `changes`; "*": all but
// output-only fields. Maps and lists are replaced. The name stays, and `drained`, which DrainPool and ResumePool
// change. A path that does not exist or cannot be changed is a violation of "update_mask". Neither checks nor fills in.
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

// Of a filled-in pool without its output-only fields: same text, same configuration, in every process.
std::string EtagOf(const v1::Pool& pool);

}  // namespace greenring::control
