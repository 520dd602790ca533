#include "worker/request_watch.h"

#include "base/check.h"

namespace greenring::worker {

using pyhost::CutShort;

void RequestWatch::Begin(green::Scheduler* scheduler, const RequestWatchOptions& options) {
  GREENRING_DCHECK(state_ == State::kEnded && !armed());
  scheduler_ = scheduler;
  state_ = State::kQueued;
  cut_short_ = CutShort::kNo;
  disconnected_ = disconnect_told_ = false;
  cancel_on_disconnect_ = options.cancel_on_disconnect;
  grace_ns_ = options.grace_ns;
  started_ns_ = options.started_ns;
  deadline_ns_ = kNeverNs;
  due_ = Due::kDeadline;
  SetTimeout(options.timeout_ns);
}

void RequestWatch::End() {
  state_ = State::kEnded;
  interrupter_ = nullptr;
  if (armed()) scheduler_->RemoveTimer(this);
}

void RequestWatch::SetInterrupter(pyhost::Exchange::Interrupter* interrupter) {
  interrupter_ = interrupter;
  if (interrupter == nullptr) {
    End();
    return;
  }
  state_ = State::kRunning;
}

void RequestWatch::SetTimeout(int64_t timeout_ns) {
  if (due_ != Due::kDeadline) return;
  deadline_ns_ = InstantAfter(started_ns_, timeout_ns);
  if (armed()) scheduler_->RemoveTimer(this);
  if (deadline_ns_ != kNeverNs) Arm(Due::kDeadline, deadline_ns_);
}

void RequestWatch::SetCancelOnDisconnect(bool cancel) {
  cancel_on_disconnect_ = cancel;
  MaybeDisconnect();
}

void RequestWatch::OnDisconnect() {
  disconnected_ = true;
  MaybeDisconnect();
}

// Clean-up is left alone: it is what the request does already.
void RequestWatch::MaybeDisconnect() {
  if (!disconnected_ || !cancel_on_disconnect_ || disconnect_told_ || state_ != State::kRunning) return;
  disconnect_told_ = true;
  CutShortFor(CutShort::kDisconnected);
}

void RequestWatch::OnDraining() {
  if (state_ == State::kRunning || state_ == State::kClosing) CutShortFor(CutShort::kDraining);
}

void RequestWatch::BeginClose() {
  state_ = State::kClosing;
  if (due_ != Due::kGrace) return;
  scheduler_->RemoveTimer(this);
  ArmGrace(Due::kCloseGrace);
}

void RequestWatch::OnTimer(Timer* timer) {
  auto* const self = static_cast<RequestWatch*>(timer);
  switch (self->due_) {
    case Due::kDeadline:
      self->OnDeadline();
      break;
    case Due::kCloseGrace:
      self->ArmGrace(Due::kGrace);
      self->CutShortFor(CutShort::kTimedOut);
      break;
    case Due::kGrace:
      self->due_ = Due::kNothing;
      self->owner_->OnOverdue();
      if (self->interrupter_ != nullptr) self->interrupter_->OnOverdue();
      break;
    case Due::kNothing:
      break;
  }
}

void RequestWatch::OnDeadline() {
  if (state_ == State::kQueued) {
    End();
    owner_->OnTimedOutInQueue();
  } else if (state_ == State::kClosing) {
    ArmGrace(Due::kCloseGrace);
  } else {
    ArmGrace(Due::kGrace);
    CutShortFor(CutShort::kTimedOut);
  }
}

void RequestWatch::Arm(Due due, int64_t at_ns) {
  due_ = due;
  scheduler_->AddTimer(this, at_ns);
}

void RequestWatch::ArmGrace(Due due) { Arm(due, scheduler_->clock()->NowNs() + grace_ns_); }

void RequestWatch::OnCancelled(const std::string& reason) {
  GREENRING_CHECK(state_ == State::kRunning || state_ == State::kClosing);
  TellOwner(CutShort::kCancelled);
  if (interrupter_ != nullptr) interrupter_->OnCancelled(reason);
}

void RequestWatch::CutShortFor(CutShort reason) {
  TellOwner(reason);
  if (interrupter_ != nullptr) interrupter_->OnCutShort(reason);
}

// What comes after the whole response is none of the client's business, but it is interrupted all the same.
void RequestWatch::TellOwner(CutShort reason) {
  if (owner_->finished()) return;
  if (cut_short_ == CutShort::kNo) cut_short_ = reason;
  owner_->OnCutShort(reason);
}

}  // namespace greenring::worker
