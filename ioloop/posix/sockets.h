// What a blocking call on a socket does after its first try: for sockets.cc, and for read, write and their like.
//
//   const ssize_t received = real::recv(fd, data, size, flags | MSG_DONTWAIT);
//   if (!IsUnfinishedReceive(received, size, flags)) return received;      // no more system calls than ever
//   return FinishReceive(fd, data, size, flags, received);
//
// A receive is unfinished when nothing was there, or less than MSG_WAITALL wants; a send, when not everything fitted.
// Where the descriptor is O_NONBLOCK, Finish... returns what the first try did. Else it parks until the socket is
// ready, and tries again. SO_RCVTIMEO or SO_SNDTIMEO end that with EAGAIN; for the rest see blocking_call.h. What ends
// it after a part was transferred is not an error: the result is the size of that part, as in Linux.
//
// Results are the C library's: bytes, or -1 and errno. On green threads only.
#pragma once

#include <errno.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>

namespace greenring::posix {

// `received`: what the first try returned, with its errno. Never parks.
inline bool IsUnfinishedReceive(ssize_t received, size_t size, int flags) {
  // The error queue and TCP's urgent byte never block.
  if (flags & (MSG_DONTWAIT | MSG_ERRQUEUE | MSG_OOB)) return false;
  if (received < 0) return errno == EAGAIN;
  return (flags & MSG_WAITALL) && received > 0 && static_cast<size_t>(received) < size;
}

// `sent`: likewise. Never parks.
inline bool IsUnfinishedSend(ssize_t sent, size_t size, int flags) {
  if (flags & MSG_DONTWAIT) return false;
  if (sent < 0) return errno == EAGAIN || (errno == EINPROGRESS && (flags & MSG_FASTOPEN));
  return static_cast<size_t>(sent) < size;
}

// The sum of the parts' sizes. Never parks.
inline size_t TotalSize(const iovec* parts, size_t count) {
  size_t total = 0;
  for (size_t i = 0; i < count; ++i) total += parts[i].iov_len;
  return total;
}

// The first try's parameters, and its result with its errno. For a message: `asked` as it was before the first try, and
// `message` as that left it. Parks.
ssize_t FinishReceive(int fd, const msghdr& asked, msghdr* message, int flags, ssize_t received);
ssize_t FinishReceive(int fd, void* data, size_t size, int flags, ssize_t received);
ssize_t FinishSend(int fd, const msghdr& message, int flags, ssize_t sent);
ssize_t FinishSend(int fd, const void* data, size_t size, int flags, ssize_t sent);

}  // namespace greenring::posix
