// Numbers as people read them, and text from outside as a terminal may show it. Thread-safe; never blocks.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/timestamp.pb.h"

namespace greenring::greenctl {

// Two units at most, both counted down: "412us", "85ms", "7.4s", "3m12s", "5h07m", "12d04h". Negative: "0s".
std::string HumanDuration(absl::Duration duration);

// Powers of 1024: "512B", "64KiB", "1.5MiB", "12GiB".
std::string HumanBytes(int64_t bytes);

// Powers of 1000: "950", "12.3k", "4.0M".
std::string HumanCount(double count);

// "0.4%", "37%".
std::string HumanPercent(double percent);

// Local time: "2026-03-04 15:06:07", and "15:06:07" alone.
std::string FormatTime(const google::protobuf::Timestamp& timestamp);
std::string FormatClock(const google::protobuf::Timestamp& timestamp);

// `text` with everything that a terminal would take as a command made visible: control characters become \xNN, so do
// bytes that are not UTF-8. With `lines`, newlines and tabs stay.
std::string Printable(absl::string_view text, bool lines = false);

// How many columns UTF-8 text takes, where each character takes one.
int DisplayWidth(absl::string_view text);

// The first `width` columns of it; the last one is an ellipsis where something was cut off.
std::string Truncate(absl::string_view text, int width);

}  // namespace greenring::greenctl
