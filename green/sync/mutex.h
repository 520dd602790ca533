// Mutual exclusion between green threads.
//
//   Mutex mutex;
//   int balance ABSL_GUARDED_BY(mutex) = 0;
//   {
//     MutexLock lock(&mutex);
//     balance += Fetch();                // may park: the others wait for the lock, the loop goes on
//   }
//
// Green threads of one scheduler do not run at the same time, so a mutex is needed only around what parks.
//
// Unlock hands the lock to the green thread that has waited longest (FIFO): nobody can overtake, nobody starves. The
// price is one switch for each hand-over; where several green threads take a contended lock in short turns, hold it for
// the whole batch. The holder is known: locking twice and unlocking what another one holds end the process.
//
// Scheduler's thread only; between OS threads use std::mutex, and never park while holding one.
#pragma once

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "base/check.h"
#include "green/sync/wait_queue.h"

namespace greenring::green {

class ABSL_LOCKABLE Mutex {
 public:
  Mutex() = default;
  // Must be unlocked (checked).
  ~Mutex() { GREENRING_CHECK(owner_ == nullptr); }
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  // Waits through cancellations, which stay pending, so that it always ends with the lock held. Parks.
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() {
    if (!TryLock()) LockSlow();
  }

  // False when another green thread holds it, and when the current one does. Never parks.
  bool TryLock() ABSL_EXCLUSIVE_TRYLOCK_FUNCTION(true) {
    GreenThread* const self = CurrentGreenThread();
    if (owner_ != nullptr) return false;
    owner_ = self;
    return true;
  }

  // Whether the lock was got by `deadline_ns`. `result`, if given, tells a deadline from a cancellation. Parks.
  bool LockUntil(int64_t deadline_ns, WaitResult* result = nullptr) ABSL_EXCLUSIVE_TRYLOCK_FUNCTION(true);

  // By the green thread that holds it (checked). Never parks.
  void Unlock() ABSL_UNLOCK_FUNCTION() {
    GREENRING_CHECK(owner_ == CurrentGreenThread() && "Mutex unlocked by a green thread that does not hold it");
    owner_ = nullptr;
    if (!waiters_.empty()) HandOver();
  }

  // Whether the current green thread holds it. Never parks.
  bool held() const { return owner_ == CurrentGreenThread(); }

 private:
  // Its next owner.
  struct LockWaiter : Waiter {
    GreenThread* const thread = CurrentGreenThread();
  };

  void LockSlow();
  void HandOver();
  void CheckNotHeld() const;

  GreenThread* owner_ = nullptr;
  IntrusiveList<LockWaiter> waiters_;
};

// Holds a mutex as long as it lives.
class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  // Parks.
  explicit MutexLock(Mutex* mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : mutex_(mutex) { mutex_->Lock(); }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mutex_->Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* const mutex_;
};

}  // namespace greenring::green
