// The processor's own counter: the cheapest way to tell how long something took.
//
//   const uint64_t begin = Ticks::Now();
//   ...
//   int64_t took_ns = Ticks::ToNs(Ticks::Now() - begin);
//
// x86-64's time stamp counter where it runs at one speed, AArch64's virtual counter; elsewhere CLOCK_MONOTONIC, a tick
// being a nanosecond. For durations: the speed is measured once against the clock, to within a thousandth, and drifts
// from it as the clock is adjusted. An instant that others are to compare is Clock's to tell. Thread-safe. Never parks.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "base/clock.h"

namespace greenring {

class Ticks {
 public:
  Ticks() = delete;

  // A few nanoseconds.
  static uint64_t Now() {
#if defined(__x86_64__)
    if (counter_is_steady_) [[likely]] {
      return __rdtsc();
    }
#elif defined(__aarch64__)
    if (counter_is_steady_) [[likely]] {
      uint64_t count;
      asm volatile("mrs %0, cntvct_el0" : "=r"(count));
      return count;
    }
#endif
    return static_cast<uint64_t>(Clock::Monotonic()->NowNs());
  }

  static int64_t ToNs(uint64_t ticks) { return static_cast<int64_t>(static_cast<double>(ticks) * ns_per_tick_); }

 private:
  // Before main; takes half a millisecond.
  static double MeasureNsPerTick();
  static bool CounterIsSteady();

  static const bool counter_is_steady_;
  static const double ns_per_tick_;
};

}  // namespace greenring
