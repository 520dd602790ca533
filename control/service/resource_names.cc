#include "control/service/resource_names.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "control/config/field_violations.h"

namespace greenring::control {
namespace {

constexpr size_t kShownBytesMax = 200;

bool IsIdentifier(absl::string_view segment) {
  return !segment.empty() && std::all_of(segment.begin(), segment.end(), [](unsigned char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
  });
}

bool Matches(const std::string& name, absl::string_view pattern, Dashes dashes) {
  const std::vector<absl::string_view> segments = absl::StrSplit(name, '/');
  const std::vector<absl::string_view> wanted = absl::StrSplit(pattern, '/');
  if (segments.size() != wanted.size()) return false;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const bool variable = wanted[i].front() == '{';
    if (!variable && segments[i] != wanted[i]) return false;
    if (variable && !IsIdentifier(segments[i])) return false;
    if (variable && segments[i] == "-" && dashes == Dashes::kRefused) return false;
  }
  return true;
}

}  // namespace

absl::Status CheckName(std::string_view field, const std::string& name, std::string_view pattern, Dashes dashes) {
  const absl::string_view wanted(pattern.data(), pattern.size());
  if (Matches(name, wanted, dashes)) return absl::OkStatus();
  const std::string given =
      name.empty() ? "is required"
                   : absl::StrCat("must not be \"", absl::CHexEscape(name.substr(0, kShownBytesMax)), "\"");
  return ToStatus({{std::string(field), absl::StrCat(given, ": it looks like ", wanted,
                                                     dashes == Dashes::kForAny ? ", with - for all" : "")}});
}

}  // namespace greenring::control
