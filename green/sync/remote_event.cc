#include "green/sync/remote_event.h"

#include "base/check.h"

namespace greenring::green {

RemoteEvent::~RemoteEvent() { GREENRING_CHECK(state_.load(std::memory_order_relaxed) <= kSet); }

void RemoteEvent::Set() {
  uintptr_t before = kUnset;
  if (state_.compare_exchange_strong(before, kSet, std::memory_order_acq_rel)) return;
  if (before == kSet || before == kUnparking) return;
  // The one that waits may stop doing so right now, because of its deadline: then it has taken its name out.
  if (!state_.compare_exchange_strong(before, kUnparking, std::memory_order_acq_rel)) {
    Set();
    return;
  }
  GreenThread* const thread = reinterpret_cast<GreenThread*>(before);
  thread->scheduler()->UnparkRemote(thread);
  state_.store(kSet, std::memory_order_release);  // from here on *this and the green thread may be gone
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
    uintptr_t expected = reinterpret_cast<uintptr_t>(self);
    if (state_.load(std::memory_order_acquire) != expected) return AwaitUnparked(self);
    if (parked == ParkResult::kUnparked) continue;
    if (!state_.compare_exchange_strong(expected, kUnset, std::memory_order_acq_rel)) return AwaitUnparked(self);
    return parked == ParkResult::kTimedOut ? WaitResult::kTimedOut : WaitResult::kCancelled;
  }
}

void RemoteEvent::WaitUncancellable() {
  GreenThread* const self = CurrentGreenThread();
  if (!StartWaiting(self)) return;
  while (state_.load(std::memory_order_acquire) == reinterpret_cast<uintptr_t>(self)) {
    self->scheduler()->ParkUncancellable();
  }
  AwaitUnparked(self);
}

// A few instructions of another OS thread, unless that is preempted in the middle of them.
WaitResult RemoteEvent::AwaitUnparked(GreenThread* self) {
  while (!is_set()) self->scheduler()->YieldToLoop();
  return WaitResult::kDone;
}

}  // namespace greenring::green
