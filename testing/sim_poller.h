// A world in which nothing happens but time: a Poll moves the simulated clock to its deadline.
//
//   SimClock clock;
//   SimPoller poller(&clock);
//   Scheduler scheduler({.clock = &clock});
//   scheduler.Run(&poller);              // sleeps of green threads take no real time
//
// A Poll without deadline waits for a real Wake from another OS thread; set `deadlock_is_fatal` where none will come.
// Wake is thread-safe.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "base/check.h"
#include "base/clock.h"
#include "green/scheduler.h"
#include "testing/sim_clock.h"

namespace greenring::testing {

class SimPoller final : public green::Poller {
 public:
  explicit SimPoller(SimClock* clock, bool deadlock_is_fatal = false)
      : clock_(clock), deadlock_is_fatal_(deadlock_is_fatal) {}

  void Poll(int64_t deadline_ns) override {
    ++polls_;
    std::unique_lock<std::mutex> lock(mutex_);
    if (deadline_ns == kNeverNs) {
      GREENRING_CHECK(woken_ || !deadlock_is_fatal_);
      condition_.wait(lock, [this] { return woken_; });
    } else if (!woken_) {
      clock_->AdvanceTo(deadline_ns);
    }
    woken_ = false;
  }

  void Wake() override {
    std::lock_guard<std::mutex> lock(mutex_);
    woken_ = true;
    condition_.notify_one();
  }

  int polls() const { return polls_; }

 private:
  SimClock* const clock_;
  const bool deadlock_is_fatal_;
  int polls_ = 0;
  std::mutex mutex_;
  std::condition_variable condition_;
  bool woken_ = false;
};

}  // namespace greenring::testing
