#include "ioloop/posix/sockets.h"

#include <limits.h>
#include <sys/ioctl.h>

#include <algorithm>

#include "base/clock.h"
#include "ioloop/posix/parking.h"
#include "ioloop/posix/socket_call.h"

namespace greenring::posix {
namespace {

constexpr size_t kPartsMax = 16;

// What is left of a message after a part of it has been transferred: some parts at a time, so that nothing has to be
// allocated for many.
class Rest {
 public:
  Rest(const msghdr& message, size_t transferred) : parts_(message.msg_iov), count_(message.msg_iovlen) {
    Advance(transferred);
  }

  size_t transferred() const { return transferred_; }
  bool empty() const { return index_ == count_; }

  void Advance(size_t size) {
    transferred_ += size;
    offset_ += size;
    while (index_ < count_ && offset_ >= parts_[index_].iov_len) offset_ -= parts_[index_++].iov_len;
  }

  // The next parts, without the address and control data that went with the first; valid until the next call.
  msghdr Next() {
    msghdr message{};
    message.msg_iov = window_;
    message.msg_iovlen = std::min(kPartsMax, count_ - index_);
    std::copy_n(parts_ + index_, message.msg_iovlen, window_);
    window_[0].iov_base = static_cast<char*>(window_[0].iov_base) + offset_;
    window_[0].iov_len -= offset_;
    return message;
  }

 private:
  const iovec* const parts_;
  const size_t count_;
  size_t index_ = 0;   // of the part that is next
  size_t offset_ = 0;  // in it
  size_t transferred_ = 0;
  iovec window_[kPartsMax];
};

bool IsStream(int fd) {
  int type = 0;
  socklen_t size = sizeof(type);
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

// The connection is broken. The error is kept for the call after the one that has transferred a part: to try again
// would take it.
bool IsBroken(int32_t ready) { return (ready & (POLLERR | POLLHUP)) == (POLLERR | POLLHUP); }

bool HasNothingToReceive(int fd) {
  int size = 0;
  return ioctl(fd, FIONREAD, &size) == 0 && size == 0;
}

// After a part, an end of any kind is told by the size of that part.
ssize_t PartOr(const Rest& rest, int32_t ended) {
  return rest.transferred() > 0 ? static_cast<ssize_t>(rest.transferred()) : ReturnOrFail(ended);
}

// MSG_WAITALL after a part of a stream has been received.
ssize_t ReceiveRest(int fd, const msghdr& asked, msghdr* message, int flags, size_t received) {
  SocketCall call(fd, kReceiving);
  Rest rest(asked, received);
  while (!rest.empty()) {
    msghdr next = rest.Next();
    next.msg_control = asked.msg_control;
    next.msg_controllen = asked.msg_controllen;
    const ssize_t more = real::recvmsg(fd, &next, flags | MSG_DONTWAIT);
    if (more == 0) break;
    if (more < 0) {
      if (errno != EAGAIN) break;
      const int32_t ready = call.AwaitReady();
      if (ready < 0 || (IsBroken(ready) && HasNothingToReceive(fd))) break;
      continue;
    }
    call.MadeProgress();
    rest.Advance(static_cast<size_t>(more));
    message->msg_flags |= next.msg_flags;
    message->msg_controllen = next.msg_controllen;
    if (next.msg_controllen > 0) break;
  }
  return static_cast<ssize_t>(rest.transferred());
}

// MSG_WAITALL and MSG_PEEK of a stream: each try starts at the beginning, and no event tells when enough is there.
ssize_t PeekAll(int fd, const msghdr& asked, msghdr* message, int flags) {
  SocketCall call(fd, kReceiving);
  const size_t size = TotalSize(asked.msg_iov, asked.msg_iovlen);
  for (;;) {
    pollfd peer = {fd, POLLRDHUP, 0};
    const bool is_last_try = real::poll(&peer, 1, 0) > 0;
    *message = asked;
    const ssize_t received = real::recvmsg(fd, message, flags | MSG_DONTWAIT);
    if (received < 0 ? errno != EAGAIN : is_last_try || received == 0 || static_cast<size_t>(received) >= size) {
      return received;
    }
    const int32_t ended = received < 0
                              ? call.AwaitReady()
                              : call.call()->BackOff(100 * kNanosecondsPerMicrosecond, 16 * kNanosecondsPerMillisecond);
    if (ended < 0) return received > 0 ? received : ReturnOrFail(ended);
  }
}

}  // namespace

ssize_t FinishReceive(int fd, const msghdr& asked, msghdr* message, int flags, ssize_t received) {
  if (IsNonBlocking(fd)) return ReturnOrFail(received >= 0 ? received : -EAGAIN);
  if (received < 0) {
    received = RetryWhenReady(fd, kReceiving, [&] { return real::recvmsg(fd, message, flags | MSG_DONTWAIT); });
    if (!IsUnfinishedReceive(received, TotalSize(asked.msg_iov, asked.msg_iovlen), flags)) return received;
  }
  // Datagrams come one at a time, and so does what carries control data (descriptors).
  if (received <= 0 || message->msg_controllen > 0 || !IsStream(fd)) return received;
  if (flags & MSG_PEEK) return PeekAll(fd, asked, message, flags);
  return ReceiveRest(fd, asked, message, flags, static_cast<size_t>(received));
}

ssize_t FinishReceive(int fd, void* data, size_t size, int flags, ssize_t received) {
  iovec part = {data, size};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  const msghdr asked = message;
  return FinishReceive(fd, asked, &message, flags, received);
}

ssize_t FinishSend(int fd, const msghdr& message, int flags, ssize_t sent) {
  const int error = sent < 0 ? errno : 0;
  if (IsNonBlocking(fd)) return ReturnOrFail(sent >= 0 ? sent : -error);
  SocketCall call(fd, kSending);
  msghdr first = message;
  if (error == EINPROGRESS) {  // MSG_FASTOPEN has begun to connect, but without the data
    first.msg_name = nullptr;
    first.msg_namelen = 0;
  }
  if (error != EAGAIN) flags &= ~MSG_FASTOPEN;
  Rest rest(message, static_cast<size_t>(std::max<ssize_t>(sent, 0)));
  for (;;) {
    const bool is_first = rest.transferred() == 0;
    const msghdr next = is_first ? first : rest.Next();
    // A part has been sent: that is the result, without a signal, if nothing more can be.
    const int how = is_first ? flags : flags | MSG_NOSIGNAL;
    sent = real::sendmsg(fd, &next, how | MSG_DONTWAIT);
    if (sent >= 0) {
      call.MadeProgress();
      rest.Advance(static_cast<size_t>(sent));
      if (rest.empty()) return static_cast<ssize_t>(rest.transferred());
      if (static_cast<size_t>(sent) == TotalSize(next.msg_iov, next.msg_iovlen)) continue;
    } else if (errno != EAGAIN) {
      return PartOr(rest, -errno);
    }
    const int32_t ready = call.AwaitReady();
    if (ready < 0 || (IsBroken(ready) && rest.transferred() > 0)) return PartOr(rest, ready);
  }
}

ssize_t FinishSend(int fd, const void* data, size_t size, int flags, ssize_t sent) {
  iovec part = {const_cast<void*>(data), size};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  return FinishSend(fd, message, flags, sent);
}

namespace parking {
namespace {

size_t SizeOf(const msghdr& message) { return TotalSize(message.msg_iov, message.msg_iovlen); }

ssize_t ReceiveMessage(int fd, msghdr* message, int flags) {
  const msghdr asked = *message;
  const ssize_t received = real::recvmsg(fd, message, flags | MSG_DONTWAIT);
  // (The parts are looked at only when the kernel has found them sound.)
  if (!IsUnfinishedReceive(received, received > 0 ? SizeOf(asked) : 0, flags)) return received;
  return FinishReceive(fd, asked, message, flags, received);
}

ssize_t SendMessage(int fd, const msghdr& message, int flags) {
  const ssize_t sent = real::sendmsg(fd, &message, flags | MSG_DONTWAIT);
  if (!IsUnfinishedSend(sent, sent > 0 ? SizeOf(message) : 0, flags)) return sent;
  return FinishSend(fd, message, flags, sent);
}

}  // namespace

// ---- receiving -----------------------------------------------------------------------------------------------------

ssize_t recv(int fd, void* data, size_t size, int flags) {
  const ssize_t received = real::recv(fd, data, size, flags | MSG_DONTWAIT);
  if (!IsUnfinishedReceive(received, size, flags)) return received;
  return FinishReceive(fd, data, size, flags, received);
}

ssize_t recvfrom(int fd, void* data, size_t size, int flags, sockaddr* from, socklen_t* from_size) {
  if (from == nullptr) return parking::recv(fd, data, size, flags);
  const socklen_t room = from_size != nullptr ? *from_size : 0;
  const ssize_t received = real::recvfrom(fd, data, size, flags | MSG_DONTWAIT, from, from_size);
  if (!IsUnfinishedReceive(received, size, flags)) return received;
  iovec part = {data, size};
  msghdr message{};
  message.msg_name = from;
  message.msg_namelen = room;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  const msghdr asked = message;
  const ssize_t result = FinishReceive(fd, asked, &message, flags, received);
  if (received < 0 && result >= 0) *from_size = message.msg_namelen;
  return result;
}

ssize_t recvmsg(int fd, msghdr* message, int flags) { return ReceiveMessage(fd, message, flags); }

namespace {

// With a timeout, which Linux looks at after each datagram and only then.
int ReceiveManyUntil(int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout) {
  const int64_t deadline_ns = DeadlineAfter(timeout);
  unsigned done = 0;
  while (done < count) {
    const ssize_t received = ReceiveMessage(fd, &messages[done].msg_hdr, flags & ~MSG_WAITFORONE);
    if (received < 0) return done > 0 ? static_cast<int>(done) : -1;
    messages[done].msg_len = static_cast<unsigned>(received);
    const bool is_urgent = (messages[done++].msg_hdr.msg_flags & MSG_OOB) != 0;
    if (flags & MSG_WAITFORONE) flags |= MSG_DONTWAIT;
    const int64_t left_ns = std::max<int64_t>(0, deadline_ns - Clock::Monotonic()->NowNs());
    *timeout = {left_ns / kNanosecondsPerSecond, left_ns % kNanosecondsPerSecond};
    if (left_ns == 0 || is_urgent) break;
  }
  return static_cast<int>(done);
}

}  // namespace

int recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout) {
  // An invalid timeout is refused at once, by the call itself.
  if (timeout != nullptr && IsValidDuration(*timeout)) return ReceiveManyUntil(fd, messages, count, flags, timeout);
  int received = real::recvmmsg(fd, messages, count, flags | MSG_DONTWAIT, timeout);
  unsigned done = static_cast<unsigned>(std::max(received, 0));
  const auto is_over = [&] {
    if (received < 0) return errno != EAGAIN || (flags & MSG_DONTWAIT) != 0;
    return done == count || (flags & (MSG_WAITFORONE | MSG_DONTWAIT)) ||
           (done > 0 && (messages[done - 1].msg_hdr.msg_flags & MSG_OOB));
  };
  if (is_over()) return received;
  if (IsNonBlocking(fd)) return static_cast<int>(ReturnOrFail(received >= 0 ? received : -EAGAIN));
  do {
    received = RetryWhenReady(fd, kReceiving, [&] {
      return real::recvmmsg(fd, messages + done, count - done, flags | MSG_DONTWAIT, nullptr);
    });
    done += static_cast<unsigned>(std::max(received, 0));
  } while (received > 0 && !is_over());
  return done > 0 ? static_cast<int>(done) : received;
}

// ---- sending -------------------------------------------------------------------------------------------------------

ssize_t send(int fd, const void* data, size_t size, int flags) {
  const ssize_t sent = real::send(fd, data, size, flags | MSG_DONTWAIT);
  if (!IsUnfinishedSend(sent, size, flags)) return sent;
  return FinishSend(fd, data, size, flags, sent);
}

ssize_t sendto(int fd, const void* data, size_t size, int flags, const sockaddr* to, socklen_t to_size) {
  const ssize_t sent = real::sendto(fd, data, size, flags | MSG_DONTWAIT, to, to_size);
  if (!IsUnfinishedSend(sent, size, flags)) return sent;
  iovec part = {const_cast<void*>(data), size};
  msghdr message{};
  message.msg_name = const_cast<sockaddr*>(to);
  message.msg_namelen = to_size;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  return FinishSend(fd, message, flags, sent);
}

ssize_t sendmsg(int fd, const msghdr* message, int flags) { return SendMessage(fd, *message, flags); }

int sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) {
  if (flags & MSG_DONTWAIT) return real::sendmmsg(fd, messages, count, flags);
  count = std::min(count, static_cast<unsigned>(IOV_MAX));  // as the kernel
  unsigned done = 0;
  while (done < count) {
    const int sent = real::sendmmsg(fd, messages + done, count - done, flags | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN) return done > 0 ? static_cast<int>(done) : -1;
    // Which one did not fit: the last, of which a part was sent, or the one after the last.
    done += static_cast<unsigned>(std::max(sent, 0));
    mmsghdr* const last = sent > 0 ? &messages[done - 1] : &messages[done];
    const ssize_t part = sent > 0 ? static_cast<ssize_t>(last->msg_len) : -1;
    if (part >= 0 && static_cast<size_t>(part) == SizeOf(last->msg_hdr)) continue;
    const ssize_t whole = FinishSend(fd, last->msg_hdr, flags, part);
    if (whole < 0) return done > 0 ? static_cast<int>(done) : -1;
    if (part < 0) ++done;
    last->msg_len = static_cast<unsigned>(whole);
    if (static_cast<size_t>(whole) < SizeOf(last->msg_hdr)) break;
  }
  return static_cast<int>(done);
}

}  // namespace parking
}  // namespace greenring::posix
