#include "tools/greenctl/human.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "control/config/quantities.h"

namespace greenring::greenctl {
namespace {

bool IsContinuation(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

// The length of the UTF-8 character that `text` begins with; 0 when it is none that may be shown as it is.
size_t CharacterBytes(absl::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return lead >= 0x20 && lead != 0x7f ? 1 : 0;
  const size_t size_bytes = lead >= 0xf0 && lead < 0xf5 ? 4 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xc2 ? 2 : 0;
  if (size_bytes == 0 || lead >= 0xf5 || text.size() < size_bytes) return 0;
  for (size_t i = 1; i < size_bytes; ++i) {
    if (!IsContinuation(text[i])) return 0;
  }
  // C1 control characters (U+0080 to U+009F): some terminals obey them.
  if (lead == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0) return 0;
  // Bidirectional overrides and isolates, which make text look like another: U+202A to U+202E, U+2066 to U+2069.
  if (lead == 0xe2) {
    const auto second = static_cast<unsigned char>(text[1]);
    const auto third = static_cast<unsigned char>(text[2]);
    if (second == 0x80 && third >= 0xa8 && third <= 0xae) return 0;
    if (second == 0x81 && third >= 0xa6 && third <= 0xa9) return 0;
  }
  return size_bytes;
}

std::string FormatScaled(double value, double step, const char* const* units) {
  while (value >= step && units[1] != nullptr) {
    value /= step;
    ++units;
  }
  // One digit behind the point where that says something: not for whole numbers, nor from 10 on.
  const bool whole = value >= 9.95 || value == std::floor(value);
  return absl::StrCat(whole ? absl::StrFormat("%.0f", value) : absl::StrFormat("%.1f", value), units[0]);
}

}  // namespace

std::string HumanDuration(absl::Duration duration) {
  if (duration <= absl::ZeroDuration()) return "0s";
  const int64_t us = absl::ToInt64Microseconds(duration);
  if (us < 1000) return absl::StrCat(us, "us");
  if (us < 10'000) return absl::StrFormat("%.1fms", us / 100 / 10.0);
  if (us < 1'000'000) return absl::StrCat(us / 1000, "ms");
  const int64_t seconds = us / 1'000'000;
  if (seconds < 10 && us % 1'000'000 >= 100'000) return absl::StrFormat("%.1fs", us / 100'000 / 10.0);
  if (seconds < 60) return absl::StrCat(seconds, "s");
  if (seconds < 3600) return absl::StrFormat("%dm%02ds", seconds / 60, seconds % 60);
  if (seconds < 86400) return absl::StrFormat("%dh%02dm", seconds / 3600, seconds / 60 % 60);
  return absl::StrFormat("%dd%02dh", seconds / 86400, seconds / 3600 % 24);
}

std::string HumanBytes(int64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", nullptr};
  return FormatScaled(static_cast<double>(std::max<int64_t>(bytes, 0)), 1024, kUnits);
}

std::string HumanCount(double count) {
  static constexpr const char* kUnits[] = {"", "k", "M", "G", "T", nullptr};
  return FormatScaled(count < 1000 ? std::round(std::max(count, 0.0) * 10) / 10 : count, 1000, kUnits);
}

std::string HumanPercent(double percent) {
  const double rounded = std::round(percent * 10) / 10;
  const bool whole = rounded >= 10 || rounded == std::floor(rounded);
  return whole ? absl::StrFormat("%.0f%%", rounded) : absl::StrFormat("%.1f%%", rounded);
}

std::string FormatTime(const google::protobuf::Timestamp& timestamp) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", control::FromProto(timestamp), absl::LocalTimeZone());
}

std::string FormatClock(const google::protobuf::Timestamp& timestamp) {
  return absl::FormatTime("%H:%M:%S", control::FromProto(timestamp), absl::LocalTimeZone());
}

std::string Printable(absl::string_view text, bool lines) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    size_t size_bytes = CharacterBytes(text);
    if (lines && (text[0] == '\n' || text[0] == '\t')) size_bytes = 1;
    if (size_bytes == 0) {
      absl::StrAppendFormat(&out, "\\x%02x", static_cast<unsigned char>(text[0]));
      text.remove_prefix(1);
      continue;
    }
    absl::StrAppend(&out, text.substr(0, size_bytes));
    text.remove_prefix(size_bytes);
  }
  return out;
}

int DisplayWidth(absl::string_view text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), [](char byte) { return !IsContinuation(byte); }));
}

std::string Truncate(absl::string_view text, int width) {
  if (DisplayWidth(text) <= width) return std::string(text);
  if (width <= 0) return "";
  size_t end = 0;
  for (int column = 0; column < width - 1; ++column) {
    ++end;
    while (end < text.size() && IsContinuation(text[end])) ++end;
  }
  return absl::StrCat(text.substr(0, end), "…");
}

}  // namespace greenring::greenctl
