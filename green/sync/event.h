// A flag that green threads can wait for: manual reset.
//
//   Event ready;
//   Go([&] { Prepare(); ready.Set(); });
//   if (ready.WaitUntil(deadline_ns) == WaitResult::kTimedOut) ...
//
// Set lets through everybody who waits, also when Reset follows before they have run. To be set from another OS thread
// there is RemoteEvent. Scheduler's thread only.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "green/sync/wait_queue.h"

namespace greenring::green {

class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  // Also from the loop's context. Never parks.
  void Set() {
    set_ = true;
    while (Waiter* waiter = waiters_.front()) waiter->Answer(WaitResult::kDone);
  }

  // Later waits wait. Never parks.
  void Reset() { set_ = false; }

  bool is_set() const { return set_; }

  // Until it is set: kDone or kCancelled. Parks.
  WaitResult Wait() { return WaitUntil(kNeverNs); }

  // kDone, kTimedOut or kCancelled. Parks.
  WaitResult WaitUntil(int64_t deadline_ns) {
    if (set_) return WaitResult::kDone;
    Waiter waiter;
    return ParkInLine(&waiters_, &waiter, deadline_ns, "event");
  }

 private:
  bool set_ = false;
  IntrusiveList<Waiter> waiters_;
};

}  // namespace greenring::green
