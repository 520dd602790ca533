#include "base/clock.h"

#include <time.h>

namespace greenring {
namespace {

class MonotonicClock final : public Clock {
 public:
  int64_t NowNs() override {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * kNanosecondsPerSecond + now.tv_nsec;
  }
};

}  // namespace

Clock* Clock::Monotonic() {
  static MonotonicClock* clock = new MonotonicClock;
  return clock;
}

}  // namespace greenring
