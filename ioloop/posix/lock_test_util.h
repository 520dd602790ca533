// What the tests of locks share: instants of both clocks, and OS threads that are waited for on green threads.
#pragma once

#include <time.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "green/scheduler.h"

namespace greenring::posix {

inline constexpr int64_t kMs = kNanosecondsPerMillisecond;

inline int64_t NowNs(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * kNanosecondsPerSecond + now.tv_nsec;
}

inline timespec InMs(clockid_t clock, int64_t milliseconds) {
  const int64_t instant_ns = NowNs(clock) + milliseconds * kMs;
  return {instant_ns / kNanosecondsPerSecond, instant_ns % kNanosecondsPerSecond};
}

inline bool HasPassed(clockid_t clock, const timespec& instant) {
  return NowNs(clock) >= instant.tv_sec * kNanosecondsPerSecond + instant.tv_nsec;
}

// Parks the current green thread.
inline void SleepMs(int64_t milliseconds) {
  green::Scheduler* scheduler = green::Scheduler::Current();
  const int64_t deadline_ns = Clock::Monotonic()->NowNs() + milliseconds * kMs;
  while (scheduler->ParkUncancellable(deadline_ns) != green::ParkResult::kTimedOut) {
  }
}

// Runs `function` on an OS thread, and other green threads meanwhile.
inline void RunOnOsThread(std::function<void()> function) {
  std::atomic<bool> done{false};
  std::thread thread([&] {
    function();
    done.store(true);
  });
  while (!done.load()) SleepMs(1);
  thread.join();
}

}  // namespace greenring::posix
