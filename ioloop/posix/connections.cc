#include <errno.h>
#include <sys/socket.h>

#include "ioloop/io.h"
#include "ioloop/posix/parking.h"
#include "ioloop/posix/socket_call.h"

namespace greenring::posix::parking {
namespace {

// Whether an address family's connect that takes too long says EAGAIN instead of EINPROGRESS.
int32_t ConnectTimeoutError(const sockaddr* address) { return address->sa_family == AF_UNIX ? -EAGAIN : -EINPROGRESS; }

// An earlier connect goes on: one that was interrupted, or another green thread's. How it ends.
int32_t AwaitConnected(int fd, SocketCall* call) {
  const int32_t ready = call->AwaitReady();
  if (ready < 0) return ready == -EAGAIN ? -EALREADY : ready;
  int error = 0;
  socklen_t size = sizeof(error);
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? -error : -errno;
}

}  // namespace

int connect(int fd, const sockaddr* address, socklen_t size) {
  if (IsNonBlocking(fd) || size < sizeof(sa_family_t)) return real::connect(fd, address, size);
  SocketCall call(fd, kSending);
  ioloop::Operation operation(call.call()->loop());
  call.call()->ring()->Connect(fd, address, size, &operation);
  int32_t result = call.Await(&operation, ConnectTimeoutError(address));
  if (result == -EALREADY) result = AwaitConnected(fd, &call);
  return static_cast<int>(ReturnOrFail(result));
}

int accept(int fd, sockaddr* address, socklen_t* size) { return parking::accept4(fd, address, size, 0); }

// Not a poll and then an accept: another process could take the connection in between, and the listener blocks.
int accept4(int fd, sockaddr* address, socklen_t* size, int flags) {
  if (IsNonBlocking(fd)) return real::accept4(fd, address, size, flags);
  SocketCall call(fd, kReceiving);
  ioloop::Operation operation(call.call()->loop());
  call.call()->ring()->Accept(fd, address, size, flags, &operation);
  return static_cast<int>(ReturnOrFail(call.Await(&operation, -EAGAIN)));
}

}  // namespace greenring::posix::parking
