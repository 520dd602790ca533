// One blocking call on a socket while it waits: a BlockingCall with the socket's own timeout.
//
//   return RetryWhenReady(fd, kReceiving, [&] { return real::recv(fd, data, size, flags | MSG_DONTWAIT); });
//
// On the stack of the green thread that makes the call; made before a try, so that no close is missed between that and
// the wait. On green threads only.
#pragma once

#include <errno.h>
#include <poll.h>
#include <sys/types.h>

#include <cstdint>

#include "ioloop/io.h"
#include "ioloop/posix/blocking_call.h"

namespace greenring::posix {

// What the two directions of a socket wait for, and the option that limits the wait.
struct Direction {
  short events;
  int timeout_option;
};
extern const Direction kReceiving;
extern const Direction kSending;

class SocketCall {
 public:
  // Reads the timeout: one system call. Never parks.
  SocketCall(int fd, const Direction& direction);

  SocketCall(const SocketCall&) = delete;
  SocketCall& operator=(const SocketCall&) = delete;

  // Until a try is worth while: the mask of what is ready, -EAGAIN if the socket's timeout has passed, or another end
  // of BlockingCall's. Parks.
  int32_t AwaitReady();

  // A try has transferred something since the last AwaitReady.
  void MadeProgress() { woken_in_vain_ = false; }

  // An operation that the caller has queued on the ring: its result, or `timeout_error` (negative) if the socket's
  // timeout has ended it. Parks.
  int32_t Await(ioloop::Operation* operation, int32_t timeout_error);

  BlockingCall* call() { return &call_; }

 private:
  SocketCall(int fd, short events, int64_t deadline_ns);
  bool IsReady() const;

  const int fd_;
  const short events_;
  bool woken_in_vain_ = false;
  BlockingCall call_;
};

// Calls `attempt`, which does not block, until it answers other than EAGAIN; parks in between.
template <typename Attempt>
auto RetryWhenReady(int fd, const Direction& direction, Attempt attempt) -> decltype(attempt()) {
  SocketCall call(fd, direction);
  for (;;) {
    const auto result = attempt();
    if (result >= 0 || errno != EAGAIN) return result;
    const int32_t ready = call.AwaitReady();
    if (ready < 0) return static_cast<decltype(attempt())>(ReturnOrFail(ready));
  }
}

}  // namespace greenring::posix
