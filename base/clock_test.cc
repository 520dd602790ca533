#include "base/clock.h"

#include "gtest/gtest.h"

namespace greenring {
namespace {

TEST(InstantAfterTest, IsTheSumWhereThereIsOne) {
  EXPECT_EQ(InstantAfter(100, 20), 120);
  EXPECT_EQ(InstantAfter(0, 0), 0);
  EXPECT_EQ(InstantAfter(0, kNeverNs - 1), kNeverNs - 1);
  EXPECT_EQ(InstantAfter(kNeverNs - 3, 2), kNeverNs - 1);
}

TEST(InstantAfterTest, NeverComesAfterADurationWithoutEnd) {
  EXPECT_EQ(InstantAfter(0, kNeverNs), kNeverNs);
  EXPECT_EQ(InstantAfter(100, kNeverNs), kNeverNs);
  EXPECT_EQ(InstantAfter(kNeverNs, 0), kNeverNs);
}

TEST(InstantAfterTest, WhatIsTooFarNeverComes) {
  EXPECT_EQ(InstantAfter(100, kNeverNs - 1), kNeverNs);
  EXPECT_EQ(InstantAfter(kNeverNs - 3, 3), kNeverNs);
  EXPECT_EQ(InstantAfter(kNeverNs - 3, 4), kNeverNs);
}

TEST(InstantAfterTest, ADurationMayHaveBeenOverBefore) {
  EXPECT_EQ(InstantAfter(100, -20), 80);
  EXPECT_EQ(InstantAfter(0, -kNeverNs), -kNeverNs);
}

TEST(ClockTest, TheMonotonicClockIsNotNegativeAndDoesNotGoBack) {
  int64_t before_ns = Clock::Monotonic()->NowNs();
  EXPECT_GE(before_ns, 0);
  for (int i = 0; i < 1000; ++i) {
    const int64_t now_ns = Clock::Monotonic()->NowNs();
    EXPECT_GE(now_ns, before_ns);
    before_ns = now_ns;
  }
}

}  // namespace
}  // namespace greenring
