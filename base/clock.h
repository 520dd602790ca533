// The time source of schedulers and loops, so that tests can own time.
//
//   Clock* clock = Clock::Monotonic();
//   int64_t deadline_ns = clock->NowNs() + 5 * kNanosecondsPerSecond;
//   int64_t deadline_ns = InstantAfter(clock->NowNs(), timeout_ns);      // a timeout of any length, or kNeverNs
//
// Instants are int64 nanoseconds of CLOCK_MONOTONIC; kNeverNs is the instant that does not come. The fake is
// testing/sim_clock.h.
#pragma once

#include <cstdint>

namespace greenring {

inline constexpr int64_t kNanosecondsPerMicrosecond = 1'000;
inline constexpr int64_t kNanosecondsPerMillisecond = 1'000'000;
inline constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;
inline constexpr int64_t kNeverNs = INT64_MAX;

// The instant that is `duration_ns` after `instant_ns`, which is not negative: kNeverNs where that is later than any
// int64 says, as after a duration of kNeverNs. Thread-safe. Never parks.
constexpr int64_t InstantAfter(int64_t instant_ns, int64_t duration_ns) {
  return duration_ns < kNeverNs - instant_ns ? instant_ns + duration_ns : kNeverNs;
}

class Clock {
 public:
  virtual ~Clock() = default;

  // Thread-safe. Never parks.
  virtual int64_t NowNs() = 0;

  // The process's CLOCK_MONOTONIC. Never deleted. Thread-safe.
  static Clock* Monotonic();
};

}  // namespace greenring
