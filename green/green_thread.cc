#include "green/green_thread.h"

#include "base/check.h"
#include "green/scheduler.h"

namespace greenring::green {

void GreenThread::MoveTo(State next) {
  switch (next) {
    case State::kFree:
    case State::kParked:
    case State::kAbandoned:
      GREENRING_DCHECK(state_ == State::kRunning);
      break;
    case State::kRunnable:  // spawned, unparked, or yielding
      GREENRING_DCHECK(state_ == State::kFree || state_ == State::kParked || state_ == State::kRunning);
      break;
    case State::kRunning:
      GREENRING_DCHECK(state_ == State::kRunnable);
      break;
  }
  state_ = next;
}

void GreenThread::OnParkTimeout(Timer* timer) {
  GreenThread* thread = static_cast<ParkTimer*>(timer)->thread;
  thread->scheduler_->Wake(thread, ParkResult::kTimedOut);
}

}  // namespace greenring::green
