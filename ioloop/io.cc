#include "ioloop/io.h"

#include <errno.h>

#include "base/check.h"

namespace greenring::ioloop {

int32_t Operation::Wait(int64_t deadline_ns, WaitGuard* guard) {
  green::Scheduler* const scheduler = loop_->scheduler();
  GREENRING_CHECK(thread_ != nullptr && scheduler->current() == thread_);
  green::ParkResult park = green::ParkResult::kUnparked;
  int32_t ended = 0;
  while (!done_ && ended == 0 && park == green::ParkResult::kUnparked) {
    if (guard != nullptr) ended = guard->Ended();
    if (ended != 0) break;
    const bool cancellable = guard == nullptr || guard->cancellable();
    park = cancellable ? scheduler->Park(deadline_ns) : scheduler->ParkUncancellable(deadline_ns);
  }
  if (done_) return result_;
  loop_->ring()->Cancel(this);
  // The kernel may still be reading or writing the caller's memory.
  while (!done_) scheduler->ParkUncancellable();
  // -EINTR: a thread of the kernel was in the middle of it.
  if (result_ != -ECANCELED && result_ != -EINTR) return result_;
  if (ended != 0) return ended;
  return park == green::ParkResult::kTimedOut ? -ETIMEDOUT : -ECANCELED;
}

void Operation::OnComplete(int32_t result, uint32_t flags) {
  // What the kernel's system calls make EINTR or a restart of (ERESTARTSYS and its like), its ring lets through.
  constexpr int32_t kFirstInternalErrno = 512;
  result_ = result <= -kFirstInternalErrno ? -EINTR : result;
  done_ = true;
  loop_->scheduler()->Unpark(thread_);
}

int32_t Recv(EventLoop* loop, int fd, void* data, size_t size, int flags, int64_t deadline_ns) {
  Operation operation(loop);
  loop->ring()->Recv(fd, data, size, flags, &operation);
  return operation.Wait(deadline_ns);
}

int32_t RecvMsg(EventLoop* loop, int fd, msghdr* message, int flags, int64_t deadline_ns) {
  Operation operation(loop);
  loop->ring()->RecvMsg(fd, message, flags, &operation);
  return operation.Wait(deadline_ns);
}

int32_t Send(EventLoop* loop, int fd, const void* data, size_t size, int flags, int64_t deadline_ns) {
  Operation operation(loop);
  loop->ring()->Send(fd, data, size, flags, &operation);
  return operation.Wait(deadline_ns);
}

int32_t Read(EventLoop* loop, int fd, void* data, size_t size, int64_t offset, int64_t deadline_ns) {
  Operation operation(loop);
  loop->ring()->Read(fd, data, size, offset, &operation);
  return operation.Wait(deadline_ns);
}

int32_t Write(EventLoop* loop, int fd, const void* data, size_t size, int64_t offset, int64_t deadline_ns) {
  Operation operation(loop);
  loop->ring()->Write(fd, data, size, offset, &operation);
  return operation.Wait(deadline_ns);
}

int32_t Connect(EventLoop* loop, int fd, const sockaddr* address, socklen_t size, int64_t deadline_ns) {
  Operation operation(loop);
  loop->ring()->Connect(fd, address, size, &operation);
  return operation.Wait(deadline_ns);
}

int32_t Splice(EventLoop* loop, int fd_in, int64_t offset_in, int fd_out, int64_t offset_out, size_t size,
               unsigned flags, int64_t deadline_ns) {
  Operation operation(loop);
  loop->ring()->Splice(fd_in, offset_in, fd_out, offset_out, size, flags, &operation);
  return operation.Wait(deadline_ns);
}

int32_t Poll(EventLoop* loop, int fd, uint32_t events, int64_t deadline_ns) {
  Operation operation(loop);
  loop->ring()->PollAdd(fd, events, &operation);
  return operation.Wait(deadline_ns);
}

int32_t Sleep(EventLoop* loop, int64_t deadline_ns) {
  for (;;) {
    switch (loop->scheduler()->Park(deadline_ns)) {
      case green::ParkResult::kUnparked:
        break;  // not for us
      case green::ParkResult::kTimedOut:
        return 0;
      case green::ParkResult::kCancelled:
        return -ECANCELED;
    }
  }
}

}  // namespace greenring::ioloop
