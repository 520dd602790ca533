// google.protobuf.Duration as nanoseconds, if it is what a request may say. Thread-safe; never blocks.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "google/protobuf/duration.pb.h"

namespace greenring::control {

// INVALID_ARGUMENT with a violation of `field` unless it is well formed and from `min_ns` to `max_ns`.
absl::StatusOr<int64_t> ToNanoseconds(std::string_view field, const google::protobuf::Duration& duration,
                                      int64_t min_ns, int64_t max_ns);

}  // namespace greenring::control
