#include "control/uwsgi/cron_schedule.h"

#include <cstdlib>
#include <ctime>
#include <string>

#include "gtest/gtest.h"

namespace greenring::control {
namespace {

class CronScheduleTest : public ::testing::Test {
 protected:
  CronScheduleTest() { SetZone("UTC0"); }

  static void SetZone(const char* zone) {
    setenv("TZ", zone, /*overwrite=*/1);
    tzset();
  }

  // Of UTC.
  static std::time_t At(const char* text) {
    std::tm parts = {};
    EXPECT_NE(strptime(text, "%Y-%m-%d %H:%M", &parts), nullptr) << text;
    return timegm(&parts);
  }

  // How often it is due in the minutes from `from` up to `to`.
  static int Count(const CronSchedule& schedule, const char* from, const char* to) {
    int count = 0;
    for (std::time_t now = At(from); now < At(to); now += 60) count += schedule.IsDue(now) ? 1 : 0;
    return count;
  }
};

TEST_F(CronScheduleTest, EachMinuteOfADay) { EXPECT_EQ(Count({}, "2026-03-01 00:00", "2026-03-02 00:00"), 1440); }

TEST_F(CronScheduleTest, AFixedMinuteAndHour) {
  const CronSchedule schedule{.minute = 30, .hour = 2};
  EXPECT_TRUE(schedule.IsDue(At("2026-03-01 02:30")));
  EXPECT_TRUE(schedule.IsDue(At("2026-03-01 02:30") + 59)) << "anywhere in the minute";
  EXPECT_FALSE(schedule.IsDue(At("2026-03-01 02:31")));
  EXPECT_EQ(Count(schedule, "2026-03-01 00:00", "2026-03-11 00:00"), 10);
}

TEST_F(CronScheduleTest, NegativeNumbersAreEverySoMany) {
  EXPECT_EQ(Count({.minute = -5}, "2026-03-01 00:00", "2026-03-01 01:00"), 12);
  EXPECT_EQ(Count({.minute = 0, .hour = -6}, "2026-03-01 00:00", "2026-03-02 00:00"), 4);
}

TEST_F(CronScheduleTest, ADayOfTheMonthAndAMonth) {
  EXPECT_EQ(Count({.minute = 0, .hour = 0, .day = 31}, "2026-01-01 00:00", "2027-01-01 00:00"), 7);
  EXPECT_EQ(Count({.minute = 0, .hour = 0, .day = 1, .month = 2}, "2026-01-01 00:00", "2027-01-01 00:00"), 1);
}

TEST_F(CronScheduleTest, ADayOrAWeekdayIsEnoughWhereBothAreGiven) {
  const CronSchedule schedule{.minute = 0, .hour = 0, .day = 1, .weekday = 1};
  EXPECT_TRUE(schedule.IsDue(At("2026-03-01 00:00"))) << "a Sunday, the first";
  EXPECT_TRUE(schedule.IsDue(At("2026-03-02 00:00"))) << "a Monday";
  EXPECT_FALSE(schedule.IsDue(At("2026-03-03 00:00")));
}

TEST_F(CronScheduleTest, SevenAndZeroAreSunday) {
  EXPECT_TRUE((CronSchedule{.weekday = 0}).IsDue(At("2026-03-01 12:00")));
  EXPECT_TRUE((CronSchedule{.weekday = 7}).IsDue(At("2026-03-01 12:00")));
  EXPECT_FALSE((CronSchedule{.weekday = 7}).IsDue(At("2026-03-02 12:00")));
}

// Central Europe: back from 03:00 to 02:00 on 2026-10-25, forward from 02:00 to 03:00 on 2026-03-29.
constexpr char kEurope[] = "CET-1CEST,M3.5.0,M10.5.0/3";

TEST_F(CronScheduleTest, AnHourThatComesTwiceIsOneForAFixedHour) {
  SetZone(kEurope);
  EXPECT_EQ(Count({.minute = 30, .hour = 2}, "2026-10-24 12:00", "2026-10-25 12:00"), 1);
  EXPECT_EQ(Count({.minute = -15, .hour = 2}, "2026-10-24 12:00", "2026-10-25 12:00"), 4);
}

TEST_F(CronScheduleTest, EachHourGoesOnWhereAnHourComesTwice) {
  SetZone(kEurope);
  EXPECT_EQ(Count({.minute = 30}, "2026-10-24 12:00", "2026-10-25 12:00"), 24);
}

TEST_F(CronScheduleTest, AnHourThatDoesNotExistIsNotMadeUpFor) {
  SetZone(kEurope);
  EXPECT_EQ(Count({.minute = 30, .hour = 2}, "2026-03-28 12:00", "2026-03-29 12:00"), 0);
  EXPECT_EQ(Count({.minute = 30, .hour = 3}, "2026-03-28 12:00", "2026-03-29 12:00"), 1);
}

TEST_F(CronScheduleTest, FieldsHaveBounds) {
  EXPECT_TRUE(CronSchedule{}.Validate().ok());
  EXPECT_TRUE((CronSchedule{.minute = 59, .hour = 23, .day = 31, .month = 12, .weekday = 7}).Validate().ok());
  EXPECT_FALSE((CronSchedule{.minute = 60}).Validate().ok());
  EXPECT_FALSE((CronSchedule{.hour = 24}).Validate().ok());
  EXPECT_FALSE((CronSchedule{.day = 0}).Validate().ok());
  EXPECT_FALSE((CronSchedule{.month = 13}).Validate().ok());
  EXPECT_FALSE((CronSchedule{.weekday = 8}).Validate().ok());
  EXPECT_FALSE((CronSchedule{.minute = -61}).Validate().ok());
}

}  // namespace
}  // namespace greenring::control
