#include "control/service/durations.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "control/config/field_violations.h"
#include "control/config/quantities.h"

namespace greenring::control {

absl::StatusOr<int64_t> ToNanoseconds(std::string_view field, const google::protobuf::Duration& duration,
                                      int64_t min_ns, int64_t max_ns) {
  const absl::Duration given = FromProto(duration);
  const absl::Duration min = absl::Nanoseconds(min_ns);
  const absl::Duration max = absl::Nanoseconds(max_ns);
  if (given >= min && given <= max) return absl::ToInt64Nanoseconds(given);
  return ToStatus({{std::string(field), absl::StrCat("must be from ", DurationText(min), " to ", DurationText(max),
                                                     ", not ", absl::FormatDuration(given))}});
}

}  // namespace greenring::control
