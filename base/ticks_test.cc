#include "base/ticks.h"

#include "gtest/gtest.h"

namespace greenring {
namespace {

int64_t Spin(int64_t duration_ns) {
  const int64_t begin_ns = Clock::Monotonic()->NowNs();
  int64_t now_ns = begin_ns;
  while (now_ns - begin_ns < duration_ns) now_ns = Clock::Monotonic()->NowNs();
  return now_ns - begin_ns;
}

TEST(TicksTest, MeasureWhatTheClockMeasures) {
  const int64_t before_ns = Clock::Monotonic()->NowNs();
  const uint64_t begin = Ticks::Now();
  const int64_t spun_ns = Spin(20 * kNanosecondsPerMillisecond);
  const int64_t measured_ns = Ticks::ToNs(Ticks::Now() - begin);
  const int64_t outside_ns = Clock::Monotonic()->NowNs() - before_ns;
  EXPECT_GE(measured_ns, spun_ns * 99 / 100);
  EXPECT_LE(measured_ns, outside_ns * 101 / 100);
}

TEST(TicksTest, DoNotRunBackwards) {
  uint64_t last = Ticks::Now();
  for (int i = 0; i < 100'000; ++i) {
    const uint64_t now = Ticks::Now();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(TicksTest, NoTicksAreNoTime) { EXPECT_EQ(Ticks::ToNs(0), 0); }

}  // namespace
}  // namespace greenring
