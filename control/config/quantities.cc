#include "control/config/quantities.h"

#include <algorithm>
#include <cctype>
#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace greenring::control {
namespace {

// As google/protobuf/duration.proto has it: about 10,000 years.
constexpr int64_t kProtoSecondsMax = 315'576'000'000;
constexpr int32_t kNanosecondsPerSecond = 1'000'000'000;

}  // namespace

std::optional<int64_t> BytesFromText(std::string_view text) {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  std::string unit(text.substr(digits));
  std::transform(unit.begin(), unit.end(), unit.begin(), [](unsigned char c) { return std::tolower(c); });
  int shift = -1;
  if (unit.empty() || unit == "b") shift = 0;
  if (unit == "k" || unit == "kb" || unit == "kib") shift = 10;
  if (unit == "m" || unit == "mb" || unit == "mib") shift = 20;
  if (unit == "g" || unit == "gb" || unit == "gib") shift = 30;
  int64_t number;
  if (shift < 0 || !absl::SimpleAtoi(std::string(text.substr(0, digits)), &number) ||
      number > (std::numeric_limits<int64_t>::max() >> shift)) {
    return std::nullopt;
  }
  return number << shift;
}

std::optional<absl::Duration> DurationFromText(std::string_view text) {
  const std::string copy(text);
  double seconds;
  absl::Duration duration;
  // Hexadecimal and "infinity" are numbers to SimpleAtod, but nothing that anybody means.
  const bool decimal = !copy.empty() && copy.find_first_not_of("0123456789.") == std::string::npos;
  if (decimal && absl::SimpleAtod(copy, &seconds)) {
    duration = absl::Seconds(seconds);
  } else if (!absl::ParseDuration(copy, &duration)) {
    return std::nullopt;
  }
  if (duration < absl::ZeroDuration() || duration > kDurationMax) return std::nullopt;
  return duration;
}

std::string BytesText(int64_t bytes) {
  constexpr struct {
    int shift;
    const char* unit;
  } kUnits[] = {{30, "GiB"}, {20, "MiB"}, {10, "KiB"}};
  for (const auto& [shift, unit] : kUnits) {
    if (bytes != 0 && bytes % (int64_t{1} << shift) == 0) return absl::StrCat(bytes / (int64_t{1} << shift), unit);
  }
  return absl::StrCat(bytes);
}

std::string DurationText(absl::Duration duration) {
  if (duration == absl::InfiniteDuration() || duration == -absl::InfiniteDuration()) return "for ever";
  if (duration < absl::ZeroDuration()) return absl::StrCat("-", DurationText(-duration));
  absl::Duration rest;
  const int64_t seconds = absl::IDivDuration(duration, absl::Seconds(1), &rest);
  const int64_t nanoseconds = absl::ToInt64Nanoseconds(rest);
  if (nanoseconds == 0) return absl::StrCat(seconds, "s");
  if (seconds == 0) {
    constexpr int64_t kMicrosecond = 1'000;
    constexpr int64_t kMillisecond = 1'000'000;
    if (nanoseconds % kMillisecond == 0) return absl::StrCat(nanoseconds / kMillisecond, "ms");
    if (nanoseconds % kMicrosecond == 0) return absl::StrCat(nanoseconds / kMicrosecond, "us");
    return absl::StrCat(nanoseconds, "ns");
  }
  std::string text = absl::StrFormat("%d.%09d", seconds, nanoseconds);
  text.erase(text.find_last_not_of('0') + 1);
  return absl::StrCat(text, "s");
}

std::string TimeText(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ", FromProto(time), absl::UTCTimeZone());
}

std::optional<google::protobuf::Timestamp> TimeFromText(std::string_view text) {
  absl::Time instant;
  if (!absl::ParseTime(absl::RFC3339_full, std::string(text), &instant, nullptr)) return std::nullopt;
  if (instant == absl::InfiniteFuture() || instant == absl::InfinitePast()) return std::nullopt;
  google::protobuf::Timestamp time;
  time.set_seconds(absl::ToUnixSeconds(instant));
  const absl::Duration rest = instant - absl::FromUnixSeconds(time.seconds());
  time.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
  return time;
}

google::protobuf::Duration ToProto(absl::Duration duration) {
  google::protobuf::Duration proto;
  absl::Duration rest;
  proto.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &rest));
  proto.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
  return proto;
}

absl::Duration FromProto(const google::protobuf::Duration& duration) {
  const bool sane = duration.seconds() >= -kProtoSecondsMax && duration.seconds() <= kProtoSecondsMax &&
                    duration.nanos() > -kNanosecondsPerSecond && duration.nanos() < kNanosecondsPerSecond;
  if (!sane) return duration.seconds() < 0 ? -absl::InfiniteDuration() : absl::InfiniteDuration();
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

absl::Time FromProto(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

}  // namespace greenring::control
