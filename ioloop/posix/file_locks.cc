// Locks on files. No kernel tells when one is free, so a call that has to wait asks again and again. Two who wait for
// each other are not found out: EDEADLK is for those that the kernel itself makes wait.
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstdint>

#include "ioloop/posix/blocking_call.h"
#include "ioloop/posix/errno_scope.h"
#include "ioloop/posix/parking.h"

namespace greenring::posix::parking {
namespace {

// Until `attempt`, a plain call that does not wait, says something else than that the lock is taken. Parks.
template <typename Attempt>
int Repeat(int fd, const Attempt& attempt) {
  ErrnoScope scope;
  BlockingCall call(fd);
  for (;;) {
    const int64_t result = ResultOf(attempt());
    if (result != -EAGAIN && result != -EACCES) return static_cast<int>(scope.Return(result));
    const int32_t ended = call.BackOff();
    if (ended < 0) return static_cast<int>(scope.Return(ended));
  }
}

}  // namespace

int flock(int fd, int operation) {
  if ((operation & (LOCK_NB | LOCK_UN)) != 0) return real::flock(fd, operation);
  return Repeat(fd, [&] { return real::flock(fd, operation | LOCK_NB); });
}

int lockf(int fd, int command, off_t size) {
  if (command != F_LOCK) return real::lockf(fd, command, size);
  // From where the position is now: it may move while the call waits.
  const int before = errno;
  const off_t start = lseek(fd, 0, SEEK_CUR);
  errno = before;
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = start >= 0 ? SEEK_SET : SEEK_CUR;
  lock.l_start = start >= 0 ? start : 0;
  lock.l_len = size;
  return parking::fcntl(fd, F_SETLKW, &lock);
}

int fcntl(int fd, int command, void* argument) {
  if (command != F_SETLKW && command != F_OFD_SETLKW) return real::fcntl(fd, command, argument);
  const int attempt = command == F_SETLKW ? F_SETLK : F_OFD_SETLK;
  return Repeat(fd, [&] { return real::fcntl(fd, attempt, argument); });
}

}  // namespace greenring::posix::parking
