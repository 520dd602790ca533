// Sockets to test with, and what tests do with them. Aborts where it cannot have them.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "base/check.h"
#include "base/clock.h"

namespace greenring::posix {

inline constexpr int64_t kMs = kNanosecondsPerMillisecond;

inline int64_t NowNs() { return Clock::Monotonic()->NowNs(); }

// Two connected sockets.
struct Pair {
  explicit Pair(int type = SOCK_STREAM) { GREENRING_CHECK(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) == 0); }
  ~Pair() {
    CloseA();
    CloseB();
  }
  void CloseA() { Close(&fds[0]); }
  void CloseB() { Close(&fds[1]); }
  static void Close(int* fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
  }
  int a() const { return fds[0]; }
  int b() const { return fds[1]; }

  int fds[2];
};

inline sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

inline const sockaddr* Generic(const sockaddr_in& address) { return reinterpret_cast<const sockaddr*>(&address); }

inline sockaddr_in NameOf(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof(address);
  GREENRING_CHECK(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  return address;
}

inline int Bound(int type) {
  const int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
  const sockaddr_in address = Loopback(0);
  GREENRING_CHECK(bind(fd, Generic(address), sizeof(address)) == 0);
  return fd;
}

inline int Listener() {
  const int fd = Bound(SOCK_STREAM);
  GREENRING_CHECK(listen(fd, 16) == 0);
  return fd;
}

inline void SetTimeout(int fd, int option, int64_t timeout_ns) {
  const timeval timeout = {timeout_ns / kNanosecondsPerSecond, timeout_ns % kNanosecondsPerSecond / 1000};
  GREENRING_CHECK(setsockopt(fd, SOL_SOCKET, option, &timeout, sizeof(timeout)) == 0);
}

inline void SetNonBlocking(int fd) { GREENRING_CHECK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0); }

// Fills the socket's buffers; how much fitted.
inline size_t Fill(int fd) {
  const std::string data(64 * 1024, 'f');
  size_t total = 0;
  for (ssize_t sent; (sent = send(fd, data.data(), data.size(), MSG_DONTWAIT)) > 0;) total += static_cast<size_t>(sent);
  return total;
}

inline std::string Pattern(size_t size) {
  std::string data(size, 0);
  for (size_t i = 0; i < size; ++i) data[i] = static_cast<char>(i * 7 + i / 251);
  return data;
}

inline std::string ReceiveAll(int fd, size_t size) {
  std::string data(size, 0);
  size_t total = 0;
  while (total < size) {
    const ssize_t received = recv(fd, data.data() + total, size - total, 0);
    if (received <= 0) break;
    total += static_cast<size_t>(received);
  }
  data.resize(total);
  return data;
}

// A call that blocks, in one of its forms.
struct Call {
  const char* name;
  std::function<ssize_t(int fd, int flags)> call;
};

}  // namespace greenring::posix
