// When a line of crontab(5), as uWSGI's add_cron takes it, is due.
//
//   const CronSchedule every_night{.minute = 30, .hour = 2};
//   if (every_night.IsDue(unix_s)) ...                          // once for each minute
//
// In local time. With a day and a weekday one of the two is enough, as in crontab(5). Where summer time ends, a
// schedule that says an hour is due in the first of the two; where it begins, the hour that does not exist is not made
// up for.
#pragma once

#include <ctime>

#include "absl/status/status.h"

namespace greenring::control {

struct CronSchedule {
  // -1: each; below -1: every so many, "*/5" is -5. Weekdays: 0 and 7 are Sunday.
  int minute = -1;
  int hour = -1;
  int day = -1;
  int month = -1;
  int weekday = -1;

  // INVALID_ARGUMENT: a field is not between its bounds.
  absl::Status Validate() const;

  // In the minute that `unix_s` is in. Valid (Validate).
  bool IsDue(std::time_t unix_s) const;

  friend bool operator==(const CronSchedule&, const CronSchedule&) = default;
};

}  // namespace greenring::control
