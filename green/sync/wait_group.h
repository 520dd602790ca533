// Waits until a number of things have ended.
//
//   WaitGroup group;
//   for (Job& job : jobs) {
//     group.Add();
//     Go([&] { job.Run(); group.Done(); });
//   }
//   group.Wait();
//
// Add before the Go, not inside, or Wait may see an empty group. Reusable once it has come down to zero.
// Scheduler's thread only.
#pragma once

#include <cstdint>

#include "base/check.h"
#include "base/clock.h"
#include "green/sync/wait_queue.h"

namespace greenring::green {

class WaitGroup {
 public:
  WaitGroup() = default;
  WaitGroup(const WaitGroup&) = delete;
  WaitGroup& operator=(const WaitGroup&) = delete;

  // Also from the loop's context, as Done. Never parks.
  void Add(int64_t count = 1) {
    GREENRING_CHECK(count >= 0 && count_ <= INT64_MAX - count);
    count_ += count;
  }

  // One has ended; the last one releases everybody who waits. Never parks.
  void Done() {
    GREENRING_CHECK(count_ > 0 && "WaitGroup: more Done than Add");
    if (--count_ > 0) return;
    while (Waiter* waiter = waiters_.front()) waiter->Answer(WaitResult::kDone);
  }

  int64_t count() const { return count_; }

  // Until all have ended: kDone or kCancelled. Parks.
  WaitResult Wait() { return WaitUntil(kNeverNs); }

  // kDone, kTimedOut or kCancelled. Parks.
  WaitResult WaitUntil(int64_t deadline_ns) {
    if (count_ == 0) return WaitResult::kDone;
    Waiter waiter;
    return ParkInLine(&waiters_, &waiter, deadline_ns, "wait group");
  }

 private:
  int64_t count_ = 0;
  IntrusiveList<Waiter> waiters_;
};

}  // namespace greenring::green
