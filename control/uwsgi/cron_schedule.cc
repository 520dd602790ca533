#include "control/uwsgi/cron_schedule.h"

#include "absl/strings/str_cat.h"

namespace greenring::control {
namespace {

constexpr std::time_t kHourS = 3600;

bool Matches(int field, int value) { return field == -1 || (field < -1 ? value % -field == 0 : field == value); }

absl::Status CheckField(const char* name, int field, int min, int max) {
  if (field < 0 ? field >= -max - 1 : field >= min && field <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(name, " of a cron schedule: ", field, " is neither ", min, " to ", max,
                                                 " nor -1 for each, -2 for every second, and so on"));
}

bool IsSameMinute(const std::tm& a, const std::tm& b) {
  return a.tm_min == b.tm_min && a.tm_hour == b.tm_hour && a.tm_mday == b.tm_mday;
}

// The clock has shown it before: it was put back since.
bool IsRepeated(std::time_t unix_s, const std::tm& now) {
  for (const std::time_t back_s : {kHourS / 2, kHourS, 2 * kHourS}) {
    const std::time_t before_s = unix_s - back_s;
    std::tm before;
    localtime_r(&before_s, &before);
    if (IsSameMinute(before, now)) return true;
  }
  return false;
}

}  // namespace

absl::Status CronSchedule::Validate() const {
  absl::Status status;
  status.Update(CheckField("minute", minute, 0, 59));
  status.Update(CheckField("hour", hour, 0, 23));
  status.Update(CheckField("day", day, 1, 31));
  status.Update(CheckField("month", month, 1, 12));
  status.Update(CheckField("weekday", weekday, 0, 7));
  return status;
}

bool CronSchedule::IsDue(std::time_t unix_s) const {
  std::tm now;
  localtime_r(&unix_s, &now);
  const bool on_day = Matches(day, now.tm_mday);
  const bool on_weekday = Matches(weekday == 7 ? 0 : weekday, now.tm_wday);
  const bool is_day = day != -1 && weekday != -1 ? on_day || on_weekday : on_day && on_weekday;
  if (!is_day || !Matches(minute, now.tm_min) || !Matches(hour, now.tm_hour) || !Matches(month, now.tm_mon + 1)) {
    return false;
  }
  return hour == -1 || !IsRepeated(unix_s, now);
}

}  // namespace greenring::control
