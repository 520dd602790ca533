// A number of permits that green threads share.
//
//   Semaphore downloads(8);                       // at most eight at a time
//   if (downloads.Acquire() != WaitResult::kDone) return;
//   Download();
//   downloads.Release();
//
// First come, first served: who waits for many permits is not overtaken by who needs few, TryAcquire included. There is
// no owner: another green thread than the acquirer may release. Scheduler's thread only.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "green/sync/wait_queue.h"

namespace greenring::green {

class Semaphore {
 public:
  // `permits` >= 0.
  explicit Semaphore(int64_t permits);
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;

  // Takes `count` >= 0 permits, all or none: kDone or kCancelled. Parks.
  [[nodiscard]] WaitResult Acquire(int64_t count = 1) { return AcquireUntil(kNeverNs, count); }

  // kDone, kTimedOut or kCancelled. Parks.
  [[nodiscard]] WaitResult AcquireUntil(int64_t deadline_ns, int64_t count = 1);

  // Whether there were `count` permits and nobody waited for theirs. Never parks.
  [[nodiscard]] bool TryAcquire(int64_t count = 1);

  // Gives `count` >= 0 permits back, or new ones. Also from the loop's context. Never parks.
  void Release(int64_t count = 1);

  // Permits that nobody has.
  int64_t available() const { return available_; }

 private:
  struct PermitWaiter : Waiter {
    explicit PermitWaiter(int64_t count) : count(count) {}
    const int64_t count;
  };

  void Serve();

  int64_t available_;
  IntrusiveList<PermitWaiter> waiters_;
};

}  // namespace greenring::green
