#include "worker/inbox.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>

#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/errno_status.h"

namespace greenring::worker {

Inbox::PauseTimer::PauseTimer(Inbox* owner)
    : Timer([](Timer* self) { static_cast<PauseTimer*>(self)->owner->Wait(); }), owner(owner) {}

Inbox::Inbox(ioloop::EventLoop* loop, UniqueFd socket, Handler* handler)
    : loop_(loop), socket_(std::move(socket)), handler_(handler) {}

Inbox::~Inbox() { GREENRING_CHECK(state_ == State::kOpen || state_ == State::kStopped); }

void Inbox::Start() {
  GREENRING_CHECK(state_ == State::kOpen);
  Wait();
}

void Inbox::Wait() {
  state_ = State::kWaiting;
  // One-shot polls may be exclusive. What is there already completes it at once, whoever else waits.
  loop_->ring()->PollAdd(socket_.get(), POLLIN | EPOLLEXCLUSIVE, this);
}

void Inbox::OnComplete(int32_t result, uint32_t) {
  if (state_ == State::kStopping) {
    // The kernel may have woken this worker, and nobody else, for what is there: a cancellation does not say.
    TakeOne(/*hung_up=*/true);
    loop_->FlushLater(this);
    return;
  }
  state_ = State::kOpen;
  State next = State::kWaiting;
  if (result >= 0) {
    next = TakeOne((result & POLLHUP) != 0);
  } else if (result != -EINTR && result != -ECANCELED) {
    handler_->OnLost(std::string(ErrnoToStatus(-result, "poll of the inbox").message()));
    next = State::kPaused;
  }
  if (state_ != State::kOpen) return;  // the handler has stopped it
  state_ = next;
  if (next == State::kWaiting) Wait();
  if (next == State::kPaused) loop_->scheduler()->AddTimer(&timer_, loop_->clock()->NowNs() + kExhaustedPauseNs);
}

Inbox::State Inbox::TakeOne(bool hung_up) {
  absl::StatusOr<HandedConnection> connection = ReceiveConnection(socket_.get());
  if (connection.ok()) {
    handler_->OnHandedOver(*std::move(connection));
    return State::kWaiting;
  }
  const absl::Status& status = connection.status();
  if (absl::IsUnavailable(status)) return State::kWaiting;  // another one has taken it
  if (absl::IsOutOfRange(status) && hung_up) return State::kEnded;
  handler_->OnLost(std::string(status.message()));
  return absl::IsInvalidArgument(status) || absl::IsOutOfRange(status) ? State::kWaiting : State::kPaused;
}

void Inbox::Stop() {
  switch (state_) {
    case State::kWaiting:
      loop_->ring()->Cancel(this);
      state_ = State::kStopping;
      return;
    case State::kPaused:
      loop_->scheduler()->RemoveTimer(&timer_);
      [[fallthrough]];
    case State::kOpen:
    case State::kEnded:
      state_ = State::kStopping;
      loop_->FlushLater(this);
      return;
    case State::kStopping:
    case State::kStopped:
      return;
  }
}

void Inbox::Flush() {
  state_ = State::kStopped;
  handler_->OnInboxStopped(this);  // `this` may be gone
}

}  // namespace greenring::worker
