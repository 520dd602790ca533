#include "green/sync/semaphore.h"

#include "base/check.h"

namespace greenring::green {

Semaphore::Semaphore(int64_t permits) : available_(permits) { GREENRING_CHECK(permits >= 0); }

bool Semaphore::TryAcquire(int64_t count) {
  GREENRING_CHECK(count >= 0);
  if (available_ < count || !waiters_.empty()) return false;
  available_ -= count;
  return true;
}

WaitResult Semaphore::AcquireUntil(int64_t deadline_ns, int64_t count) {
  if (TryAcquire(count)) return WaitResult::kDone;
  PermitWaiter waiter(count);
  const WaitResult result = ParkInLine(&waiters_, &waiter, deadline_ns, "semaphore");
  // It may have been the one at the front, waiting for many: those behind may need fewer.
  if (result != WaitResult::kDone) Serve();
  return result;
}

void Semaphore::Release(int64_t count) {
  GREENRING_CHECK(count >= 0 && available_ <= INT64_MAX - count);
  available_ += count;
  Serve();
}

void Semaphore::Serve() {
  while (PermitWaiter* waiter = waiters_.front()) {
    if (available_ < waiter->count) return;
    available_ -= waiter->count;
    waiter->Answer(WaitResult::kDone);
  }
}

}  // namespace greenring::green
