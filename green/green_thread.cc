#include "green/green_thread.h"

#include "green/scheduler.h"

namespace greenring::green {

bool GreenThread::MayMoveTo(State next) const {
  switch (next) {
    case State::kFree:
    case State::kParked:
    case State::kAbandoned:
      return state_ == State::kRunning;
    case State::kRunnable:  // spawned, unparked, or yielding
      return state_ == State::kFree || state_ == State::kParked || state_ == State::kRunning;
    case State::kRunning:
      return state_ == State::kRunnable;
  }
  return false;
}

void GreenThread::OnParkTimeout(Timer* timer) {
  GreenThread* thread = static_cast<ParkTimer*>(timer)->thread;
  thread->scheduler_->Wake(thread, ParkResult::kTimedOut);
}

}  // namespace greenring::green
