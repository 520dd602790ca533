// An event that other OS threads set and one green thread waits for: the way back from work done elsewhere.
//
//   RemoteEvent done;
//   helper_threads.Post([&] { result = Resolve(name); done.Set(); });    // runs on another OS thread
//   done.Wait();                                                         // parks; the others go on
//
// What was written before Set is visible after Wait. Wait returns as soon as the flag is up, so the event may be
// destroyed right after it (as above, on the waiting stack); Set touches neither the event nor the green thread once
// the flag is up. The scheduler must outlive every Set (join the threads first), whose unpark may still be in the
// scheduler's door, and can leave a permit (Scheduler rule 3).
//
// Set and is_set are thread-safe; everything else is for the scheduler's thread, and for one green thread at a time.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/clock.h"
#include "green/sync/wait_queue.h"

namespace greenring::green {

class RemoteEvent {
 public:
  RemoteEvent() = default;
  // Nobody may wait (checked).
  ~RemoteEvent();
  RemoteEvent(const RemoteEvent&) = delete;
  RemoteEvent& operator=(const RemoteEvent&) = delete;

  // Raises the flag. Thread-safe. Never parks.
  void Set();

  // Whether the flag is up. Thread-safe. Never parks.
  bool is_set() const { return state_.load(std::memory_order_acquire) == kSet; }

  // Takes the flag down. Not while somebody waits (checked). Never parks.
  void Reset();

  // Until the flag is up: kDone or kCancelled. Parks.
  WaitResult Wait() { return WaitUntil(kNeverNs); }

  // kDone, kTimedOut or kCancelled. Whoever gave the event to another OS thread must still wait for its Set before the
  // event dies. Parks.
  WaitResult WaitUntil(int64_t deadline_ns);

  // Wait through cancellations, which stay pending. Parks.
  void WaitUncancellable();

 private:
  // Either one of these or the GreenThread* that waits.
  static constexpr uintptr_t kUnset = 0;
  static constexpr uintptr_t kSet = 1;
  static constexpr uintptr_t kUnparking = 2;  // Set is at it: who waits must not end before it is done

  bool StartWaiting(GreenThread* self);  // false: the flag is up
  WaitResult AwaitUnparked(GreenThread* self);

  std::atomic<uintptr_t> state_{kUnset};
};

}  // namespace greenring::green
