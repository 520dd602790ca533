#include "ioloop/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace greenring::ioloop {
namespace {

// The connection was lost on its way, or something that the next accept does not depend on.
bool IsTransient(int error_number) {
  switch (error_number) {
    case ECANCELED:
    case EINTR:
    case EAGAIN:
    case ECONNABORTED:
    case EPERM:  // a firewall's rule
    case EPROTO:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
      return true;
    default:
      return false;
  }
}

}  // namespace

Listener::StateTimer::StateTimer(Listener* owner)
    : Timer([](Timer* self) { static_cast<StateTimer*>(self)->owner->OnTimer(); }), owner(owner) {}

// ---- opening -------------------------------------------------------------------------------------------------------

absl::StatusOr<std::unique_ptr<Listener>> Listener::Open(std::string_view address, const ListenerOptions& options) {
  absl::StatusOr<ListeningSocket> socket = ListeningSocket::Open(address, options);
  if (!socket.ok()) return socket.status();
  const bool deferred = options.defer_accept && socket->port() != 0;
  return std::unique_ptr<Listener>(new Listener(*std::move(socket), /*adopted=*/false, /*by_turns=*/false, deferred));
}

absl::StatusOr<std::unique_ptr<Listener>> Listener::Adopt(UniqueFd fd, bool by_turns) {
  absl::StatusOr<ListeningSocket> socket = ListeningSocket::Adopt(std::move(fd));
  if (!socket.ok()) return socket.status();
  return std::unique_ptr<Listener>(new Listener(*std::move(socket), /*adopted=*/true, by_turns, /*deferred=*/false));
}

Listener::~Listener() {
  GREENRING_CHECK(state_ == State::kOpen || state_ == State::kStopped);
  socket_.Close();
}

// ---- accepting -----------------------------------------------------------------------------------------------------

void Listener::MoveTo(State next) {
  const bool legal = next == State::kStopped ? state_ == State::kStopping || state_ == State::kOpen
                     : next == State::kStopping
                         ? state_ == State::kAccepting || state_ == State::kPaused || state_ == State::kLastCall
                     : next == State::kLastCall  ? state_ == State::kAccepting
                     : next == State::kPaused    ? state_ == State::kAccepting
                     : next == State::kAccepting ? state_ == State::kOpen || state_ == State::kPaused
                                                 : false;
  GREENRING_CHECK(legal);
  state_ = next;
}

void Listener::Start(EventLoop* loop, Handler* handler) {
  MoveTo(State::kAccepting);
  loop_ = loop;
  handler_ = handler;
  Accept();
}

void Listener::Accept() {
  if (by_turns_) {
    loop_->ring()->Accept(fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC, this);
  } else {
    loop_->ring()->AcceptMultishot(fd(), this);
  }
}

void Listener::OnComplete(int32_t result, uint32_t flags) {
  if (result >= 0) {
    exhaustion_logged_ = false;
    handler_->OnAccept(UniqueFd(result));
  }
  if (flags & Ring::kMore) return;
  if (state_ == State::kStopping) {
    loop_->FlushLater(this);
  } else if (result >= 0 || IsTransient(-result)) {
    Accept();
  } else if (state_ == State::kLastCall) {
    loop_->scheduler()->RemoveTimer(&timer_);
    MoveTo(State::kStopping);
    loop_->FlushLater(this);
  } else {
    Pause(-result);
  }
}

void Listener::Pause(int error_number) {
  if (!exhaustion_logged_) {
    std::fprintf(stderr, "greenring: accepting on %s pauses: %s\n", address().c_str(), std::strerror(error_number));
    exhaustion_logged_ = true;
  }
  MoveTo(State::kPaused);
  loop_->scheduler()->AddTimer(&timer_, loop_->clock()->NowNs() + kExhaustedPauseNs);
}

void Listener::OnTimer() {
  if (state_ == State::kPaused) {
    MoveTo(State::kAccepting);
    Accept();
  } else {
    loop_->ring()->Cancel(this);
    MoveTo(State::kStopping);
  }
}

// ---- stopping ------------------------------------------------------------------------------------------------------

void Listener::Stop() {
  switch (state_) {
    case State::kOpen:
      MoveTo(State::kStopped);
      socket_.Close();
      return;
    case State::kAccepting:
      if (deferred_) {
        // Connections whose first bytes are on their way come into the queue only with those.
        const int off = 0;
        setsockopt(fd(), IPPROTO_TCP, TCP_DEFER_ACCEPT, &off, sizeof(off));
        MoveTo(State::kLastCall);
        loop_->scheduler()->AddTimer(&timer_, loop_->clock()->NowNs() + kLastCallNs);
      } else {
        loop_->ring()->Cancel(this);
        MoveTo(State::kStopping);
      }
      return;
    case State::kPaused:
      loop_->scheduler()->RemoveTimer(&timer_);
      MoveTo(State::kStopping);
      loop_->FlushLater(this);
      return;
    case State::kLastCall:
    case State::kStopping:
    case State::kStopped:
      return;
  }
}

void Listener::Flush() {
  if (adopted_ && TakeOneMore()) return;
  if (!adopted_) AcceptQueued();
  socket_.Close();
  MoveTo(State::kStopped);
  handler_->OnStopped();  // `this` may be gone
}

// An accept that does not succeed at once, because another process was faster, is not to wait: it is cancelled with the
// same system call. (The socket itself would wait, or would not for the others either: O_NONBLOCK is everybody's.)
bool Listener::TakeOneMore() {
  pollfd queue = {.fd = fd(), .events = POLLIN, .revents = 0};
  if (taken_at_the_end_ == kTakenAtTheEndMax || poll(&queue, 1, 0) <= 0 || (queue.revents & POLLIN) == 0) return false;
  ++taken_at_the_end_;
  loop_->ring()->Accept(fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC, this);
  loop_->ring()->Cancel(this);
  return true;
}

void Listener::AcceptQueued() {
  // Ours alone, so that the flag, which all holders of a socket share, changes nobody else's.
  fcntl(fd(), F_SETFL, fcntl(fd(), F_GETFL) | O_NONBLOCK);
  for (;;) {
    UniqueFd accepted(accept4(fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (accepted.valid()) {
      handler_->OnAccept(std::move(accepted));
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return;
    }
  }
}

}  // namespace greenring::ioloop
