#include "control/service/resource_names.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "control/config/field_violations.h"

namespace greenring::control {
namespace {

constexpr size_t kShownBytesMax = 200;

}  // namespace

absl::Status CheckName(std::string_view field, const std::string& name, std::string_view pattern, Dashes dashes) {
  if (IdsOfName(name, pattern, dashes).has_value()) return absl::OkStatus();
  const absl::string_view wanted(pattern.data(), pattern.size());
  const std::string given =
      name.empty() ? "is required"
                   : absl::StrCat("must not be \"", absl::CHexEscape(name.substr(0, kShownBytesMax)), "\"");
  return ToStatus({{std::string(field), absl::StrCat(given, ": it looks like ", wanted,
                                                     dashes == Dashes::kForAny ? ", with - for all" : "")}});
}

}  // namespace greenring::control
