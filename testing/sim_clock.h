// Time that moves only when the test says so.
//
//   SimClock clock;
//   Scheduler scheduler({.clock = &clock});
//   clock.Advance(5 * kNanosecondsPerSecond);
//
// Starts at one second, so that 0 is in the past. One OS thread only. Never parks.
#pragma once

#include <cstdint>

#include "base/check.h"
#include "base/clock.h"

namespace greenring::testing {

class SimClock final : public Clock {
 public:
  int64_t NowNs() override { return now_ns_; }

  void Advance(int64_t duration_ns) {
    GREENRING_CHECK(duration_ns >= 0);
    now_ns_ += duration_ns;
  }

  // Does nothing when `instant_ns` is past.
  void AdvanceTo(int64_t instant_ns) {
    if (instant_ns > now_ns_) now_ns_ = instant_ns;
  }

 private:
  int64_t now_ns_ = kNanosecondsPerSecond;
};

}  // namespace greenring::testing
