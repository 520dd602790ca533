// How long the scheduler's OS thread waits for the GIL, which other OS threads hold meanwhile: extensions that compute,
// threads that Python code has started.
//
//   posix::LeaveAlone({..., .before_wait = &GilWaits::BeforeWait, .after_unlock = &GilWaits::AfterUnlock});
//   GilWaits::histogram().QuantileNs(0.99);
//
// All green threads wait as long. What is measured is one taking of the GIL, from when it could not be had to when it
// was: CPython waits for it in pieces of sys.getswitchinterval(). A taking that does not wait is not counted, and costs
// a comparison. Scheduler's thread only. Never parks.
#pragma once

#include <cstdint>

#include "base/histogram.h"
#include "base/ticks.h"

namespace greenring::pyhost {

class GilWaits {
 public:
  GilWaits() = delete;

  // The thread is about to wait for one of the GIL's condition variables.
  static void BeforeWait(const void*) {
    if (began_ticks_ == 0) began_ticks_ = Ticks::Now();
  }

  // It has unlocked the mutex of one: whatever it waited for is over.
  static void AfterUnlock(const void*) {
    if (began_ticks_ != 0) [[unlikely]]
      End();
  }

  // Since the process's start.
  static const Histogram& histogram() { return histogram_; }

 private:
  static void End() {
    histogram_.Record(Ticks::ToNs(Ticks::Now() - began_ticks_));
    began_ticks_ = 0;
  }

  static inline constinit uint64_t began_ticks_ = 0;
  static inline constinit Histogram histogram_;
};

}  // namespace greenring::pyhost
