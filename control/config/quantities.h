// Sizes, durations and times as people write them: on the command line, in YAML, and in what errors say.
//
//   BytesFromText("256KiB") == 262144;  BytesText(262144) == "256KiB"
//   DurationFromText("1m30s") == absl::Seconds(90);  DurationText(absl::Seconds(90)) == "90s"
//
// Thread-safe; never blocks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"

namespace greenring::control {

// The longest duration that means anything here: a year.
inline constexpr absl::Duration kDurationMax = absl::Hours(24 * 365);

// "262144", "256KiB", "256k", "1MB". Decimal and binary units mean the same, powers of 1024, as uWSGI and nginx have
// it. Nothing for what is no size, is negative, or does not fit.
std::optional<int64_t> BytesFromText(std::string_view text);

// "30s", "500ms", "1m30s"; a bare number is seconds. From 0 to kDurationMax; nothing for everything else.
std::optional<absl::Duration> DurationFromText(std::string_view text);

// What the parsers above read back as the same: "256KiB", "1.5s", "500ms".
std::string BytesText(int64_t bytes);
std::string DurationText(absl::Duration duration);

// RFC 3339, in UTC: "2026-01-31T12:00:00.5Z".
std::string TimeText(const google::protobuf::Timestamp& time);
std::optional<google::protobuf::Timestamp> TimeFromText(std::string_view text);

google::protobuf::Duration ToProto(absl::Duration duration);

// Whatever it holds: out of its own range it becomes infinite.
absl::Duration FromProto(const google::protobuf::Duration& duration);
absl::Time FromProto(const google::protobuf::Timestamp& time);

}  // namespace greenring::control
