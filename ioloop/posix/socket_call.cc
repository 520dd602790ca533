#include "ioloop/posix/socket_call.h"

#include <sys/socket.h>
#include <sys/time.h>

#include "base/clock.h"
#include "ioloop/posix/interposer.h"

namespace greenring::posix {
namespace {

// kNeverNs: the socket has no timeout, or is none.
int64_t SocketDeadlineNs(int fd, int timeout_option) {
  timeval timeout{};
  socklen_t size = sizeof(timeout);
  if (getsockopt(fd, SOL_SOCKET, timeout_option, &timeout, &size) != 0) return kNeverNs;
  if (timeout.tv_sec == 0 && timeout.tv_usec == 0) return kNeverNs;
  const timespec duration = {timeout.tv_sec, timeout.tv_usec * kNanosecondsPerMicrosecond};
  return DeadlineAfter(&duration);
}

}  // namespace

const Direction kReceiving = {POLLIN, SO_RCVTIMEO};
const Direction kSending = {POLLOUT, SO_SNDTIMEO};

SocketCall::SocketCall(int fd, const Direction& direction)
    : SocketCall(fd, direction.events, SocketDeadlineNs(fd, direction.timeout_option)) {}

// A call with a timeout is not restarted after a signal handler: signal(7).
SocketCall::SocketCall(int fd, short events, int64_t deadline_ns)
    : fd_(fd),
      events_(events),
      call_(fd, deadline_ns, deadline_ns == kNeverNs ? Restart::kAsHandlerSays : Restart::kNever) {}

int32_t SocketCall::AwaitReady() {
  // Ready for poll is not always ready for the call: a datagram that finds its receiver's queue full, for one. (The
  // other reason is a reader that was faster than we.)
  int32_t ready = woken_in_vain_ && IsReady()
                      ? call_.BackOff(100 * kNanosecondsPerMicrosecond, 16 * kNanosecondsPerMillisecond)
                      : call_.AwaitEvents(static_cast<uint32_t>(events_));
  woken_in_vain_ = true;
  if (ready == -ETIMEDOUT) return -EAGAIN;
  // The number may be another file's by now.
  if (const int32_t ended = call_.Ended(); ready >= 0 && ended != 0) return ended;
  return ready;
}

int32_t SocketCall::Await(ioloop::Operation* operation, int32_t timeout_error) {
  const int32_t result = call_.Await(operation);
  // The kernel has its own ETIMEDOUT, of a peer that does not answer.
  const bool is_late = result == -ETIMEDOUT && call_.deadline_ns() <= Clock::Monotonic()->NowNs();
  return is_late ? timeout_error : result;
}

bool SocketCall::IsReady() const {
  pollfd polled = {fd_, events_, 0};
  return real::poll(&polled, 1, 0) > 0;
}

}  // namespace greenring::posix
