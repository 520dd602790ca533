// The Date header line, formatted once a second.
//
//   DateCache dates;
//   encoder.EncodeHead(request, dates.Line(wall_clock_s), out);      // "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
//
// The caller owns the clock (CLOCK_REALTIME, in seconds). One thread at a time. Never parks.
#pragma once

#include <cstdint>
#include <string_view>

namespace greenring::protocol {

class DateCache {
 public:
  // The line for the instant `unix_s`, with its CRLF; valid until the next call. Costs one comparison within a second.
  std::string_view Line(int64_t unix_s) {
    if (unix_s != formatted_s_) Format(unix_s);
    return std::string_view(line_, sizeof(line_));
  }

 private:
  void Format(int64_t unix_s);

  int64_t formatted_s_ = INT64_MIN;
  char line_[sizeof("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n") - 1];
};

}  // namespace greenring::protocol
