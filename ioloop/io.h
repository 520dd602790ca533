// Blocking-style I/O for green threads: each call parks the current green thread until the ring has the answer.
//
//   char text[64];
//   int32_t received = Recv(&loop, fd, text, sizeof(text), 0, loop.clock()->NowNs() + kNanosecondsPerSecond);
//   if (received == -ETIMEDOUT) ...
//
// Results are the kernel's: bytes, or a negative errno. -ETIMEDOUT: `deadline_ns` passed; -ECANCELED: the green thread
// was cancelled. In both cases the operation is over when the call returns (its memory is free again) and what came
// first counts: data that arrived together with the deadline is returned, not lost. On a green thread only.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>

#include "base/clock.h"
#include "green/scheduler.h"
#include "ioloop/event_loop.h"
#include "ioloop/ring.h"

namespace greenring::ioloop {

// Parks.
int32_t Recv(EventLoop* loop, int fd, void* data, size_t size, int flags, int64_t deadline_ns = kNeverNs);
int32_t RecvMsg(EventLoop* loop, int fd, msghdr* message, int flags, int64_t deadline_ns = kNeverNs);
int32_t Send(EventLoop* loop, int fd, const void* data, size_t size, int flags, int64_t deadline_ns = kNeverNs);
int32_t Read(EventLoop* loop, int fd, void* data, size_t size, int64_t offset, int64_t deadline_ns = kNeverNs);
int32_t Write(EventLoop* loop, int fd, const void* data, size_t size, int64_t offset, int64_t deadline_ns = kNeverNs);
int32_t Connect(EventLoop* loop, int fd, const sockaddr* address, socklen_t size, int64_t deadline_ns = kNeverNs);

// Moves `size` bytes at most between a file or socket and a pipe; offsets -1: current. Parks.
int32_t Splice(EventLoop* loop, int fd_in, int64_t offset_in, int fd_out, int64_t offset_out, size_t size,
               unsigned flags, int64_t deadline_ns = kNeverNs);

// The mask of `events` (poll(2)) that are ready. Parks.
int32_t Poll(EventLoop* loop, int fd, uint32_t events, int64_t deadline_ns = kNeverNs);

// 0 when the deadline came, -ECANCELED when the green thread was cancelled first. Parks.
int32_t Sleep(EventLoop* loop, int64_t deadline_ns);

// What else may end the wait for an operation; looked at before each park. Whoever changes its mind unparks the green
// thread.
class WaitGuard {
 public:
  // 0: wait on. A negative errno: the operation is to be cancelled, and this is the result unless one came first.
  virtual int32_t Ended() = 0;

  // Whether Scheduler::Cancel ends the wait.
  virtual bool cancellable() const { return true; }

 protected:
  ~WaitGuard() = default;
};

// The building block of the above, for operations they do not offer: a Completion that one green thread waits for.
//
//   Operation operation(&loop);
//   loop.ring()->Shutdown(fd, SHUT_WR, &operation);
//   int32_t result = operation.Wait(kNeverNs);
class Operation final : public Completion {
 public:
  explicit Operation(EventLoop* loop) : loop_(loop), thread_(loop->scheduler()->current()) {}

  // Parks until the operation that was queued with this completion is over, and returns its result.
  int32_t Wait(int64_t deadline_ns, WaitGuard* guard = nullptr);

 private:
  void OnComplete(int32_t result, uint32_t flags) override;

  EventLoop* const loop_;
  green::GreenThread* const thread_;
  int32_t result_ = 0;
  bool done_ = false;
};

}  // namespace greenring::ioloop
