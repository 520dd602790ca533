#include <errno.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "base/clock.h"
#include "gtest/gtest.h"
#include "ioloop/posix/blocking_call.h"
#include "ioloop/posix/posix_world.h"

namespace greenring::posix {
namespace {

constexpr int64_t kMs = kNanosecondsPerMillisecond;

int64_t NowNs() { return Clock::Monotonic()->NowNs(); }

timespec InstantAfter(clockid_t clock, int64_t duration_ns) {
  timespec now;
  clock_gettime(clock, &now);
  const int64_t instant_ns = now.tv_sec * kNanosecondsPerSecond + now.tv_nsec + duration_ns;
  return {instant_ns / kNanosecondsPerSecond, instant_ns % kNanosecondsPerSecond};
}

TEST(SleepTest, SleepersSleepBesideEachOther) {
  PosixWorld world;
  const int64_t begin_ns = NowNs();
  for (int i = 0; i < 50; ++i) {
    world.Go([] {
      const int64_t asleep_ns = NowNs();
      EXPECT_EQ(usleep(50'000), 0);
      EXPECT_GE(NowNs() - asleep_ns, 50 * kMs);
    });
  }
  world.RunAll();
  EXPECT_LT(NowNs() - begin_ns, 50 * 50 * kMs);
}

TEST(SleepTest, TheShorterSleepEndsFirst) {
  PosixWorld world;
  std::string order;
  world.Go([&] {
    const timespec duration = {0, 60 * kMs};
    EXPECT_EQ(nanosleep(&duration, nullptr), 0);
    order += "long ";
  });
  world.Go([&] {
    const timespec duration = {0, 5 * kMs};
    EXPECT_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &duration, nullptr), 0);
    order += "short ";
  });
  world.RunAll();
  EXPECT_EQ(order, "short long ");
}

TEST(SleepTest, AbsoluteSleepsEndAtTheirInstantOfEachClock) {
  for (const clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI}) {
    PosixWorld world;
    bool other_ran = false;
    world.Go([&] {
      const timespec instant = InstantAfter(clock, 20 * kMs);
      EXPECT_EQ(clock_nanosleep(clock, TIMER_ABSTIME, &instant, nullptr), 0);
      timespec now;
      clock_gettime(clock, &now);
      EXPECT_TRUE(now.tv_sec > instant.tv_sec || (now.tv_sec == instant.tv_sec && now.tv_nsec >= instant.tv_nsec));
      EXPECT_TRUE(other_ran);
    });
    world.Go([&] { other_ran = true; });
    world.RunAll();
  }
}

TEST(SleepTest, WhatIsOverAtOnceLetsOthersRun) {
  const timespec zero = {0, 0}, past = {1, 0};
  const std::function<void()> calls[] = {
      [] { EXPECT_EQ(sleep(0), 0u); },
      [] { EXPECT_EQ(usleep(0), 0); },
      [&] { EXPECT_EQ(nanosleep(&zero, nullptr), 0); },
      [&] { EXPECT_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &past, nullptr), 0); },
      [] { EXPECT_EQ(sched_yield(), 0); },
  };
  for (const std::function<void()>& call : calls) {
    PosixWorld world;
    bool other_ran = false;
    world.Go([&] {
      call();
      EXPECT_TRUE(other_ran);
    });
    world.Go([&] { other_ran = true; });
    world.RunAll();
  }
}

TEST(SleepTest, InvalidTimesAreRefused) {
  PosixWorld world;
  world.Run([] {
    for (const timespec time : {timespec{0, kNanosecondsPerSecond}, timespec{0, -1}, timespec{-1, 0}}) {
      errno = 0;
      EXPECT_EQ(nanosleep(&time, nullptr), -1);
      EXPECT_EQ(errno, EINVAL);
      errno = 0;
      EXPECT_EQ(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &time, nullptr), EINVAL);
      EXPECT_EQ(errno, 0);
    }
    const timespec time = {0, 1};
    EXPECT_EQ(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &time, nullptr), EINVAL);
    EXPECT_NE(clock_nanosleep(CLOCK_MONOTONIC_RAW, 0, &time, nullptr), 0);
  });
}

TEST(SleepTest, CancelEndsASleepAndTellsWhatIsLeft) {
  PosixWorld world;
  green::GreenThread* sleeper = world.Go([] {
    const timespec duration = {1000, 0};
    timespec remaining = {};
    EXPECT_EQ(nanosleep(&duration, &remaining), -1);
    EXPECT_EQ(errno, ECANCELED);
    EXPECT_TRUE(remaining.tv_sec == 999 && remaining.tv_nsec > 0) << remaining.tv_sec;
    EXPECT_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &duration, nullptr), ECANCELED);
    EXPECT_EQ(sleep(1000), 999u);
  });
  world.Go([&, sleeper] { world.scheduler()->Cancel(sleeper); });
  world.RunAll();
}

TEST(SleepTest, AnySignalHandlerEndsASleepOfTheMainGreenThread) {
  for (const Restart restart : {Restart::kAsHandlerSays, Restart::kNever}) {
    PosixWorld world;
    world.Go(
        [] {
          const timespec duration = {1000, 0};
          timespec remaining = {};
          EXPECT_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &duration, &remaining), EINTR);
          EXPECT_EQ(remaining.tv_sec, 999);
        },
        {.is_os_thread = true});
    bool other_slept = false;
    world.Go([&] { other_slept = usleep(1000) == 0; });
    world.Go([&] { InterruptMainThread(restart); });
    world.RunAll();
    EXPECT_TRUE(other_slept);
  }
}

TEST(SleepTest, OsThreadsSleepAsEver) {
  std::thread([] {
    const int64_t begin_ns = NowNs();
    EXPECT_EQ(usleep(2000), 0);
    EXPECT_EQ(sleep(0), 0u);
    EXPECT_EQ(sched_yield(), 0);
    const timespec instant = InstantAfter(CLOCK_REALTIME, 2 * kMs);
    EXPECT_EQ(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &instant, nullptr), 0);
    EXPECT_GE(NowNs() - begin_ns, 4 * kMs);
  }).join();
}

}  // namespace
}  // namespace greenring::posix
