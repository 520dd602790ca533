#include "control/config/file_position.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/str_cat.h"

namespace greenring::control {
namespace {

// What is more only scrolls the first ones away.
constexpr size_t kErrorsMax = 50;

}  // namespace

FilePosition PositionOf(const FieldPositions& positions, std::string field) {
  while (!field.empty()) {
    const auto found = positions.find(field);
    if (found != positions.end()) return found->second;
    const size_t end = field.find_last_of(".[");
    field.resize(end == std::string::npos ? 0 : end);
  }
  return {};
}

void FileErrors::Add(FilePosition position, const std::string& field, const std::string& what) {
  errors_.push_back({position, field.empty() ? what : absl::StrCat(field, ": ", what)});
}

absl::Status FileErrors::ToStatus() const {
  if (errors_.empty()) return absl::OkStatus();
  std::vector<Error> sorted = errors_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Error& a, const Error& b) {
    return std::tie(a.position.line, a.position.column) < std::tie(b.position.line, b.position.column);
  });
  std::string text;
  for (size_t i = 0; i < std::min(sorted.size(), kErrorsMax); ++i) {
    const FilePosition& position = sorted[i].position;
    absl::StrAppend(&text, text.empty() ? "" : "\n", path_, ":");
    if (position.line > 0) absl::StrAppend(&text, position.line, ":", position.column, ":");
    absl::StrAppend(&text, " ", sorted[i].text);
  }
  if (sorted.size() > kErrorsMax) absl::StrAppend(&text, "\n", path_, ": and ", sorted.size() - kErrorsMax, " more");
  return absl::InvalidArgumentError(text);
}

}  // namespace greenring::control
