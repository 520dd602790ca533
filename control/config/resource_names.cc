#include "control/config/resource_names.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "control/config/pool_limits.h"

namespace greenring::control {
namespace {

constexpr size_t kNumberBytesMax = 19;  // of an int64

bool IsVariable(absl::string_view segment) { return segment.front() == '{'; }

bool IsPoolId(absl::string_view id) {
  return !id.empty() && id.size() <= kPoolIdBytesMax && absl::ascii_islower(id[0]) &&
         std::all_of(id.begin(), id.end(),
                     [](unsigned char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-'; });
}

bool IsNumber(absl::string_view id) {
  return !id.empty() && id.size() <= kNumberBytesMax && std::all_of(id.begin(), id.end(), absl::ascii_isdigit);
}

std::vector<absl::string_view> SegmentsOf(std::string_view text) {
  return absl::StrSplit(absl::string_view(text.data(), text.size()), '/');
}

}  // namespace

std::optional<std::vector<std::string>> IdsOfName(std::string_view name, std::string_view pattern, Dashes dashes) {
  const std::vector<absl::string_view> segments = SegmentsOf(name);
  const std::vector<absl::string_view> wanted = SegmentsOf(pattern);
  if (segments.size() != wanted.size()) return std::nullopt;
  std::vector<std::string> ids;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const absl::string_view segment = segments[i];
    if (!IsVariable(wanted[i])) {
      if (segment != wanted[i]) return std::nullopt;
      continue;
    }
    const bool is_id = wanted[i] == "{pool}" ? IsPoolId(segment) : IsNumber(segment);
    if (!is_id && !(segment == "-" && dashes == Dashes::kForAny)) return std::nullopt;
    ids.emplace_back(segment);
  }
  return ids;
}

std::string NameOfIds(const std::vector<std::string>& ids, std::string_view pattern) {
  std::vector<absl::string_view> segments = SegmentsOf(pattern);
  auto id = ids.begin();
  for (absl::string_view& segment : segments) {
    if (IsVariable(segment) && id != ids.end()) segment = *id++;
  }
  return absl::StrJoin(segments, "/");
}

}  // namespace greenring::control
