#include "control/config/violation_list.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "control/config/pool_limits.h"
#include "control/config/quantities.h"

namespace greenring::control {
namespace {

constexpr size_t kQuotedBytesMax = 200;

}  // namespace

std::string Quoted(const std::string& text) {
  if (text.size() <= kQuotedBytesMax) return absl::StrCat("\"", absl::Utf8SafeCEscape(text), "\"");
  size_t end = kQuotedBytesMax;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // not within a letter
  return absl::StrCat("\"", absl::Utf8SafeCEscape(text.substr(0, end)), "...\"");
}

void ViolationList::CheckRange(const std::string& field, int64_t value, int64_t min, int64_t max) {
  if (value < min || value > max) Add(field, absl::StrCat("must be from ", min, " to ", max, ", not ", value));
}

void ViolationList::CheckBytes(const std::string& field, int64_t value, int64_t min, int64_t max) {
  if (value >= min && value <= max) return;
  Add(field, absl::StrCat("must be from ", BytesText(min), " to ", BytesText(max), ", not ", BytesText(value)));
}

void ViolationList::CheckNotNegative(const std::string& field, int64_t value) {
  if (value < 0) Add(field, absl::StrCat("must not be negative, but is ", value));
}

void ViolationList::CheckDuration(const std::string& field, const google::protobuf::Duration& value, absl::Duration min,
                                  absl::Duration max, bool or_zero) {
  const absl::Duration duration = FromProto(value);
  if (duration >= min && duration <= max) return;
  if (or_zero && duration == absl::ZeroDuration()) return;
  Add(field, absl::StrCat("must be ", or_zero && min > absl::ZeroDuration() ? "0, or " : "", "from ", DurationText(min),
                          " to ", DurationText(max), ", not ", DurationText(duration)));
}

void ViolationList::CheckPath(const std::string& field, const std::string& path) {
  if (path.size() > kPathBytesMax) {
    Add(field, absl::StrCat("a path has at most ", kPathBytesMax, " bytes, not ", path.size()));
  }
  CheckText(field, path);
}

bool ViolationList::CheckText(const std::string& field, const std::string& text) {
  if (text.find('\0') == std::string::npos) return true;
  Add(field, "must not contain a null byte");
  return false;
}

}  // namespace greenring::control
