#include "green/sync/mutex.h"

namespace greenring::green {

void Mutex::CheckNotHeld() const {
  GREENRING_CHECK(owner_ != CurrentGreenThread() && "Mutex locked again by the green thread that holds it: deadlock");
}

void Mutex::LockSlow() {
  CheckNotHeld();
  LockWaiter waiter;
  Wait wait("mutex", this);
  wait.Join(&waiter);
  waiters_.PushBack(&waiter);
  wait.ParkUncancellable();
}

bool Mutex::LockUntil(int64_t deadline_ns, WaitResult* result) {
  WaitResult ended = WaitResult::kDone;
  if (!TryLock()) {
    CheckNotHeld();
    LockWaiter waiter;
    ended = ParkInLine(&waiters_, &waiter, deadline_ns, "mutex");
  }
  if (result != nullptr) *result = ended;
  return ended == WaitResult::kDone;
}

void Mutex::HandOver() {
  LockWaiter* next = waiters_.front();
  owner_ = next->thread;
  next->Answer(WaitResult::kDone);
}

}  // namespace greenring::green
