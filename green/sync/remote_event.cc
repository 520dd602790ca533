#include "green/sync/remote_event.h"

#include "base/check.h"

namespace greenring::green {

RemoteEvent::~RemoteEvent() { GREENRING_CHECK(state_.load(std::memory_order_relaxed) <= kSet); }

void RemoteEvent::Set() {
  const uintptr_t before = state_.exchange(kSet, std::memory_order_acq_rel);
  if (before <= kSet) return;
  // From here on *this may be gone; the control block of a green thread lives as long as its scheduler.
  GreenThread* const thread = reinterpret_cast<GreenThread*>(before);
  thread->scheduler()->UnparkRemote(thread);
}

void RemoteEvent::Reset() {
  uintptr_t expected = kSet;
  const bool was_set = state_.compare_exchange_strong(expected, kUnset, std::memory_order_acq_rel);
  GREENRING_CHECK(was_set || expected == kUnset);
}

bool RemoteEvent::StartWaiting(GreenThread* self) {
  uintptr_t expected = kUnset;
  if (state_.compare_exchange_strong(expected, reinterpret_cast<uintptr_t>(self), std::memory_order_acq_rel)) {
    return true;
  }
  GREENRING_CHECK(expected == kSet && "one green thread at a time waits for a RemoteEvent");
  return false;
}

WaitResult RemoteEvent::WaitUntil(int64_t deadline_ns) {
  GreenThread* const self = CurrentGreenThread();
  if (!StartWaiting(self)) return WaitResult::kDone;
  for (;;) {
    const ParkResult parked = self->scheduler()->Park(deadline_ns);
    if (is_set()) return WaitResult::kDone;
    if (parked == ParkResult::kUnparked) continue;
    uintptr_t expected = reinterpret_cast<uintptr_t>(self);
    if (!state_.compare_exchange_strong(expected, kUnset, std::memory_order_acq_rel)) return WaitResult::kDone;
    return parked == ParkResult::kTimedOut ? WaitResult::kTimedOut : WaitResult::kCancelled;
  }
}

void RemoteEvent::WaitUncancellable() {
  GreenThread* const self = CurrentGreenThread();
  if (!StartWaiting(self)) return;
  while (!is_set()) self->scheduler()->ParkUncancellable();
}

}  // namespace greenring::green
