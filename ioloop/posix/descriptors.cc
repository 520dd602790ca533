// Ending a descriptor's life wakes those who are parked on it: their calls end with EBADF.
//
// They are woken first. Afterwards the number may belong to another file already, and the wrong ones would wake.
#include <errno.h>
#include <fcntl.h>

#include "ioloop/posix/blocking_call.h"
#include "ioloop/posix/parking.h"

namespace greenring::posix::parking {
namespace {

// Of dup2 and its like: `to` is about to become `from`, if that is open.
void WakeParkedOnReplaced(int from, int to) {
  const int before = errno;
  if (from != to && real::fcntl(from, F_GETFD, nullptr) >= 0) WakeParkedOn(to);
  errno = before;
}

}  // namespace

int close(int fd) {
  WakeParkedOn(fd);
  return real::close(fd);
}

int dup2(int from, int to) {
  WakeParkedOnReplaced(from, to);
  return real::dup2(from, to);
}

int dup3(int from, int to, int flags) {
  if ((flags & ~O_CLOEXEC) == 0) WakeParkedOnReplaced(from, to);
  return real::dup3(from, to, flags);
}

}  // namespace greenring::posix::parking
