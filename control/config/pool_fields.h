// What kind of thing each field of a pool is: the one table behind merging, the kind of a change and the etag. A test
// compares it with the message's descriptor, so that a new field cannot be forgotten.
//
// Thread-safe; never blocks.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "greenring/control/v1/pool.pb.h"

namespace greenring::control {

enum class PoolFieldKind {
  kName,        // says which pool it is; never changes
  kOutputOnly,  // the server's to say
  kDrained,     // changed by DrainPool and ResumePool only
  kCores,       // LIVE, by replacing cores
  kLive,        // LIVE
  kStart,       // needs new workers
};

struct PoolField {
  std::string path;  // "timeouts", "logging.format": a field with all that is in it
  PoolFieldKind kind;
};

// Together they cover every field, none twice. By number.
const std::vector<PoolField>& PoolFields();

// Of the field at `path`, which may lie deeper than the table's, as "timeouts.drain". It must exist.
PoolFieldKind KindOfField(std::string_view path);

// `pool` without the fields of the kinds for which `is_cleared` says so.
v1::Pool Without(const v1::Pool& pool, const std::function<bool(PoolFieldKind)>& is_cleared);

// The same bytes for the same message, in every process of the same version.
std::string DeterministicBytes(const google::protobuf::Message& message);

}  // namespace greenring::control
