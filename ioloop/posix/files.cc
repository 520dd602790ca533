// Reading, writing, opening and syncing of descriptors.
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

#include "ioloop/io.h"
#include "ioloop/posix/blocking_call.h"
#include "ioloop/posix/errno_scope.h"
#include "ioloop/posix/parking.h"
#include "ioloop/posix/position_lock.h"

namespace greenring::posix::parking {
namespace {

// Instead of an offset: where the file's position is, which moves.
constexpr int64_t kAtPosition = -1;

// A read or a write, however it was called.
struct Transfer {
  bool writes;
  int fd;
  const iovec* parts;
  int count;
  int64_t offset;  // or kAtPosition
  int flags;       // RWF_...
};

int64_t TotalBytes(const Transfer& transfer) {
  int64_t total = 0;
  for (int i = 0; i < transfer.count; ++i) total += static_cast<int64_t>(transfer.parts[i].iov_len);
  return total;
}

// What the kernel answers at once, or would block for.
bool IsPlain(const iovec* parts, int count) {
  if (count <= 0 || count > IOV_MAX) return true;
  size_t total = 0;
  for (int i = 0; i < count; ++i) {
    if (__builtin_add_overflow(total, parts[i].iov_len, &total)) return true;
  }
  return total == 0 || total > SSIZE_MAX;
}

// The plain call, which with RWF_NOWAIT is the one that cannot block.
int64_t Call(const Transfer& transfer, int more_flags) {
  auto* const function = transfer.writes ? real::pwritev2.load() : real::preadv2.load();
  return ResultOf(function(transfer.fd, transfer.parts, transfer.count, transfer.offset, transfer.flags | more_flags));
}

// An operation of the ring, as often as nothing but the kernel's own affairs kept it from being done. `queue` puts it
// on the ring. Parks.
template <typename Queue>
int64_t RunOnRing(BlockingCall* call, const Queue& queue) {
  for (;;) {
    ioloop::Operation operation(call->loop());
    queue(&operation);
    const int32_t result = call->Await(&operation);
    if (result != -EINTR && result != -EAGAIN) return result;
    int32_t ended = call->Ended();
    // -EAGAIN of a descriptor that may block: the kernel cannot wait for this kind of file.
    if (ended == 0 && result == -EAGAIN) {
      ended = call->BackOff();
    }
    if (ended != 0) return ended;
  }
}

// Parks.
int64_t OnRing(BlockingCall* call, const Transfer& transfer) {
  const int flags = transfer.flags & ~RWF_HIPRI;  // a hint, and an error on a ring that waits for interrupts
  return RunOnRing(call, [&](ioloop::Operation* operation) {
    if (transfer.writes) {
      call->ring()->WriteV(transfer.fd, transfer.parts, transfer.count, transfer.offset, flags, operation);
    } else {
      call->ring()->ReadV(transfer.fd, transfer.parts, transfer.count, transfer.offset, flags, operation);
    }
  });
}

// Goes on behind the first `done` bytes: all of them, or how far it came. Parks.
int64_t Complete(BlockingCall* call, const Transfer& transfer, int64_t done) {
  size_t skip = static_cast<size_t>(done);
  for (int i = 0; i < transfer.count; ++i) {
    const iovec& part = transfer.parts[i];
    while (skip < part.iov_len) {
      const iovec rest = {static_cast<char*>(part.iov_base) + skip, part.iov_len - skip};
      Transfer next = transfer;
      next.parts = &rest;
      next.count = 1;
      if (transfer.offset != kAtPosition) next.offset += done;
      const int64_t result = call->Ended() != 0 ? 0 : OnRing(call, next);
      if (result <= 0) return done;
      done += result;
      skip += static_cast<size_t>(result);
    }
    skip -= part.iov_len;
  }
  return done;
}

bool HasPosition(const struct stat& file) { return S_ISREG(file.st_mode) || S_ISBLK(file.st_mode); }

// Whether a call that blocks would not have been content with `done` of the bytes.
bool WouldGoOn(const Transfer& transfer, const struct stat& file, int64_t done) {
  if (transfer.writes) return HasPosition(file) || S_ISFIFO(file.st_mode);
  if (!HasPosition(file)) return false;
  const int64_t end = transfer.offset != kAtPosition ? transfer.offset + done : lseek(transfer.fd, 0, SEEK_CUR);
  return S_ISBLK(file.st_mode) || end < file.st_size;
}

// Not of a socket. The result, or a negative errno. Parks.
int64_t Perform(const Transfer& transfer) {
  const int64_t total = TotalBytes(transfer);
  // While somebody else is using a position, perhaps this one, the line below would not wait for them.
  const bool contended = transfer.offset == kAtPosition && PositionLock::AnyHeld();
  const int64_t tried = contended ? -EAGAIN : Call(transfer, RWF_NOWAIT);
  if (tried == total || tried == 0) return tried;
  if (tried < 0 && tried != -EAGAIN && tried != -EOPNOTSUPP) return tried;
  if (IsNonBlocking(transfer.fd)) return tried > 0 ? tried : Call(transfer, 0);

  struct stat file;
  if (fstat(transfer.fd, &file) != 0) return -errno;
  if (tried > 0 && !WouldGoOn(transfer, file, tried)) return tried;
  BlockingCall call(transfer.fd);
  PositionLock position;
  if (transfer.offset == kAtPosition && HasPosition(file) && !position.Acquire(file)) {
    return tried > 0 ? tried : call.OnCancelled();
  }
  if (tried > 0) return Complete(&call, transfer, tried);
  const int64_t result = OnRing(&call, transfer);
  if (result <= 0 || result == total || !transfer.writes || !WouldGoOn(transfer, file, result)) return result;
  return Complete(&call, transfer, result);
}

ssize_t AtOffset(bool writes, int fd, const iovec* parts, int count, off_t offset, int flags) {
  ErrnoScope scope;
  return scope.Return(Perform({writes, fd, parts, count, offset, flags}));
}

// The kernel moves no more than this in one call (MAX_RW_COUNT).
constexpr size_t kTransferBytesMax = 0x7ffff000;

iovec Part(const void* data, size_t size) { return {const_cast<void*>(data), std::min(size, kTransferBytesMax)}; }

}  // namespace

// ---- at the current position ---------------------------------------------------------------------------------------

ssize_t read(int fd, void* data, size_t size) {
  if (size == 0) return real::read(fd, data, size);
  ErrnoScope scope;
  const int64_t received = ResultOf(parking::recv(fd, data, size, 0));
  if (received != -ENOTSOCK) return scope.Return(received);
  const iovec part = Part(data, size);
  return scope.Return(Perform({/*writes=*/false, fd, &part, 1, kAtPosition, 0}));
}

ssize_t write(int fd, const void* data, size_t size) {
  if (size == 0) return real::write(fd, data, size);
  ErrnoScope scope;
  const int64_t sent = ResultOf(parking::send(fd, data, size, 0));
  if (sent != -ENOTSOCK) return scope.Return(sent);
  const iovec part = Part(data, size);
  return scope.Return(Perform({/*writes=*/true, fd, &part, 1, kAtPosition, 0}));
}

ssize_t readv(int fd, const iovec* parts, int count) {
  if (IsPlain(parts, count)) return real::readv(fd, parts, count);
  ErrnoScope scope;
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts);
  message.msg_iovlen = static_cast<size_t>(count);
  const int64_t received = ResultOf(parking::recvmsg(fd, &message, 0));
  if (received != -ENOTSOCK) return scope.Return(received);
  return scope.Return(Perform({/*writes=*/false, fd, parts, count, kAtPosition, 0}));
}

ssize_t writev(int fd, const iovec* parts, int count) {
  if (IsPlain(parts, count)) return real::writev(fd, parts, count);
  ErrnoScope scope;
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts);
  message.msg_iovlen = static_cast<size_t>(count);
  const int64_t sent = ResultOf(parking::sendmsg(fd, &message, 0));
  if (sent != -ENOTSOCK) return scope.Return(sent);
  return scope.Return(Perform({/*writes=*/true, fd, parts, count, kAtPosition, 0}));
}

// ---- at an offset: the kernel's answer to a negative one is an error, and the ring's another ------------------------

ssize_t pread(int fd, void* data, size_t size, off_t offset) {
  if (size == 0 || offset < 0) return real::pread(fd, data, size, offset);
  const iovec part = Part(data, size);
  return AtOffset(/*writes=*/false, fd, &part, 1, offset, 0);
}

ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  if (size == 0 || offset < 0) return real::pwrite(fd, data, size, offset);
  const iovec part = Part(data, size);
  return AtOffset(/*writes=*/true, fd, &part, 1, offset, 0);
}

ssize_t preadv(int fd, const iovec* parts, int count, off_t offset) {
  if (IsPlain(parts, count) || offset < 0) return real::preadv(fd, parts, count, offset);
  return AtOffset(/*writes=*/false, fd, parts, count, offset, 0);
}

ssize_t pwritev(int fd, const iovec* parts, int count, off_t offset) {
  if (IsPlain(parts, count) || offset < 0) return real::pwritev(fd, parts, count, offset);
  return AtOffset(/*writes=*/true, fd, parts, count, offset, 0);
}

// Here -1 is the current position.
ssize_t preadv2(int fd, const iovec* parts, int count, off_t offset, int flags) {
  if (offset == kAtPosition && flags == 0) return parking::readv(fd, parts, count);
  if (IsPlain(parts, count) || offset < kAtPosition || (flags & RWF_NOWAIT) != 0) {
    return real::preadv2(fd, parts, count, offset, flags);
  }
  return AtOffset(/*writes=*/false, fd, parts, count, offset, flags);
}

ssize_t pwritev2(int fd, const iovec* parts, int count, off_t offset, int flags) {
  if (offset == kAtPosition && flags == 0) return parking::writev(fd, parts, count);
  if (IsPlain(parts, count) || offset < kAtPosition || (flags & RWF_NOWAIT) != 0) {
    return real::pwritev2(fd, parts, count, offset, flags);
  }
  return AtOffset(/*writes=*/true, fd, parts, count, offset, flags);
}

// ---- opening and syncing -------------------------------------------------------------------------------------------

int fsync(int fd) {
  ErrnoScope scope;
  BlockingCall call(fd);
  return static_cast<int>(scope.Return(
      RunOnRing(&call, [&](ioloop::Operation* operation) { call.ring()->Fsync(fd, /*data_only=*/false, operation); })));
}

int fdatasync(int fd) {
  ErrnoScope scope;
  BlockingCall call(fd);
  return static_cast<int>(scope.Return(
      RunOnRing(&call, [&](ioloop::Operation* operation) { call.ring()->Fsync(fd, /*data_only=*/true, operation); })));
}

int open(const char* path, int flags, mode_t mode) { return parking::openat(AT_FDCWD, path, flags, mode); }

int openat(int directory, const char* path, int flags, mode_t mode) {
  ErrnoScope scope;
  BlockingCall call;
  return static_cast<int>(scope.Return(RunOnRing(
      &call, [&](ioloop::Operation* operation) { call.ring()->OpenAt(directory, path, flags, mode, operation); })));
}

}  // namespace greenring::posix::parking
