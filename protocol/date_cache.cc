#include "protocol/date_cache.h"

#include <cstdio>
#include <cstring>
#include <ctime>

#include "base/check.h"

namespace greenring::protocol {

void DateCache::Format(int64_t unix_s) {
  // Not strftime: the names must not follow the locale.
  static constexpr char kDays[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr char kMonths[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t seconds = static_cast<std::time_t>(unix_s);
  std::tm utc;
  GREENRING_CHECK(gmtime_r(&seconds, &utc) != nullptr && utc.tm_year >= -1900 && utc.tm_year < 10000 - 1900);
  char text[sizeof(line_) + 1];
  const int size =
      std::snprintf(text, sizeof(text), "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n", kDays[utc.tm_wday],
                    utc.tm_mday, kMonths[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
  GREENRING_CHECK(size == sizeof(line_));
  std::memcpy(line_, text, sizeof(line_));
  formatted_s_ = unix_s;
}

}  // namespace greenring::protocol
