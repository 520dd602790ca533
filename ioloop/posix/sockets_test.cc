#include "ioloop/posix/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "gtest/gtest.h"
#include "ioloop/posix/blocking_call.h"
#include "ioloop/posix/posix_world.h"

namespace greenring::posix {
namespace {

constexpr int64_t kMs = kNanosecondsPerMillisecond;

int64_t NowNs() { return Clock::Monotonic()->NowNs(); }

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

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

const sockaddr* Generic(const sockaddr_in& address) { return reinterpret_cast<const sockaddr*>(&address); }

sockaddr_in NameOf(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof(address);
  GREENRING_CHECK(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  return address;
}

int Bound(int type) {
  const int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
  const sockaddr_in address = Loopback(0);
  GREENRING_CHECK(bind(fd, Generic(address), sizeof(address)) == 0);
  return fd;
}

int Listener() {
  const int fd = Bound(SOCK_STREAM);
  GREENRING_CHECK(listen(fd, 16) == 0);
  return fd;
}

void SetTimeout(int fd, int option, int64_t timeout_ns) {
  const timeval timeout = {timeout_ns / kNanosecondsPerSecond, timeout_ns % kNanosecondsPerSecond / 1000};
  GREENRING_CHECK(setsockopt(fd, SOL_SOCKET, option, &timeout, sizeof(timeout)) == 0);
}

void SetNonBlocking(int fd) { GREENRING_CHECK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0); }

// Fills the socket's buffers; how much fitted.
size_t Fill(int fd) {
  const std::string data(64 * 1024, 'f');
  size_t total = 0;
  for (ssize_t sent; (sent = send(fd, data.data(), data.size(), MSG_DONTWAIT)) > 0;) total += static_cast<size_t>(sent);
  return total;
}

std::string Pattern(size_t size) {
  std::string data(size, 0);
  for (size_t i = 0; i < size; ++i) data[i] = static_cast<char>(i * 7 + i / 251);
  return data;
}

std::string ReceiveAll(int fd, size_t size) {
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

// One call that has nothing to do yet on socket `fd`, in every form: what blocks in a receive, a send or an accept.
struct Call {
  const char* name;
  std::function<ssize_t(int fd, int flags)> call;
};

std::vector<Call> Receives() {
  static char data[16];
  return {
      {"recv", [](int fd, int flags) { return recv(fd, data, sizeof(data), flags); }},
      {"recvfrom",
       [](int fd, int flags) {
         sockaddr_storage from;
         socklen_t size = sizeof(from);
         return recvfrom(fd, data, sizeof(data), flags, reinterpret_cast<sockaddr*>(&from), &size);
       }},
      {"recvmsg",
       [](int fd, int flags) {
         iovec part = {data, sizeof(data)};
         msghdr message{};
         message.msg_iov = &part;
         message.msg_iovlen = 1;
         return recvmsg(fd, &message, flags);
       }},
      {"recvmmsg",
       [](int fd, int flags) -> ssize_t {
         iovec part = {data, sizeof(data)};
         mmsghdr message{};
         message.msg_hdr.msg_iov = &part;
         message.msg_hdr.msg_iovlen = 1;
         const int count = recvmmsg(fd, &message, 1, flags, nullptr);
         return count <= 0 ? count : static_cast<ssize_t>(message.msg_len);
       }},
  };
}

std::vector<Call> Sends() {
  static const std::string data(1000, 's');
  const auto message = [](iovec* part) {
    *part = {const_cast<char*>(data.data()), data.size()};
    msghdr header{};
    header.msg_iov = part;
    header.msg_iovlen = 1;
    return header;
  };
  return {
      {"send", [](int fd, int flags) { return send(fd, data.data(), data.size(), flags); }},
      {"sendto", [](int fd, int flags) { return sendto(fd, data.data(), data.size(), flags, nullptr, 0); }},
      {"sendmsg",
       [message](int fd, int flags) {
         iovec part;
         const msghdr header = message(&part);
         return sendmsg(fd, &header, flags);
       }},
      {"sendmmsg",
       [message](int fd, int flags) -> ssize_t {
         iovec part;
         mmsghdr header = {message(&part), 0};
         const int count = sendmmsg(fd, &header, 1, flags);
         return count <= 0 ? count : static_cast<ssize_t>(header.msg_len);
       }},
  };
}

// ---- receiving -----------------------------------------------------------------------------------------------------

TEST(SocketsTest, ReceivesParkUntilThePeerSends) {
  for (const Call& receive : Receives()) {
    SCOPED_TRACE(receive.name);
    PosixWorld world;
    Pair pair;
    bool parked = true;
    world.Go([&] {
      EXPECT_EQ(receive.call(pair.a(), 0), 4);
      parked = false;
      EXPECT_EQ(receive.call(pair.a(), 0), 0);  // the end
    });
    world.Go([&] {
      EXPECT_TRUE(parked);
      EXPECT_EQ(send(pair.b(), "data", 4, 0), 4);
      while (parked) sched_yield();
      pair.CloseB();
    });
    world.RunAll();
  }
}

TEST(SocketsTest, ReceivesOfWhatIsThereMakeNoOperation) {
  for (const Call& receive : Receives()) {
    SCOPED_TRACE(receive.name);
    PosixWorld world;
    Pair pair;
    world.Run([&] {
      send(pair.b(), "data", 4, 0);
      const uint64_t switches = world.scheduler()->stats().switches;
      errno = 123;
      EXPECT_EQ(receive.call(pair.a(), 0), 4);
      EXPECT_EQ(errno, 123);
      EXPECT_EQ(world.scheduler()->stats().switches, switches);
    });
  }
}

TEST(SocketsTest, ReceivesThatMayNotBlockReturnAtOnce) {
  for (const Call& receive : Receives()) {
    SCOPED_TRACE(receive.name);
    PosixWorld world;
    Pair pair;
    world.Run([&] {
      const uint64_t switches = world.scheduler()->stats().switches;
      for (const int flags : {int{MSG_DONTWAIT}, MSG_ERRQUEUE | MSG_DONTWAIT}) {
        errno = 0;
        EXPECT_EQ(receive.call(pair.a(), flags), -1);
        EXPECT_EQ(errno, EAGAIN);
      }
      SetNonBlocking(pair.a());
      errno = 0;
      EXPECT_EQ(receive.call(pair.a(), 0), -1);
      EXPECT_EQ(errno, EAGAIN);
      EXPECT_EQ(world.scheduler()->stats().switches, switches);
    });
  }
}

TEST(SocketsTest, TheErrorQueueNeverBlocks) {
  PosixWorld world;
  const int fd = Bound(SOCK_DGRAM);
  world.Run([&] {
    char byte;
    EXPECT_EQ(recv(fd, &byte, 1, MSG_ERRQUEUE), -1);
    EXPECT_EQ(errno, EAGAIN);
  });
  close(fd);
}

TEST(SocketsTest, ReceivesTellTheKernelsErrors) {
  for (const Call& receive : Receives()) {
    SCOPED_TRACE(receive.name);
    PosixWorld world;
    world.Run([&] {
      EXPECT_EQ(receive.call(-1, 0), -1);
      EXPECT_EQ(errno, EBADF);
      const int file = memfd_create("file", 0);
      EXPECT_EQ(receive.call(file, 0), -1);
      EXPECT_EQ(errno, ENOTSOCK);
      close(file);
      const int unconnected = socket(AF_INET, SOCK_STREAM, 0);
      EXPECT_EQ(receive.call(unconnected, 0), -1);
      EXPECT_EQ(errno, ENOTCONN);
      close(unconnected);
    });
  }
}

TEST(SocketsTest, ReceivesEndAtTheSocketsTimeout) {
  for (const Call& receive : Receives()) {
    SCOPED_TRACE(receive.name);
    PosixWorld world;
    Pair pair;
    SetTimeout(pair.a(), SO_RCVTIMEO, 20 * kMs);
    bool other_ran = false;
    world.Go([&] {
      const int64_t begin_ns = NowNs();
      EXPECT_EQ(receive.call(pair.a(), 0), -1);
      EXPECT_EQ(errno, EAGAIN);
      EXPECT_GE(NowNs() - begin_ns, 20 * kMs);
      EXPECT_TRUE(other_ran);
    });
    world.Go([&] { other_ran = true; });
    world.RunAll();
  }
}

TEST(SocketsTest, CloseAndCancelEndParkedReceives) {
  for (const Call& receive : Receives()) {
    SCOPED_TRACE(receive.name);
    PosixWorld world;
    Pair closed, kept;
    world.Go([&, fd = closed.a()] {
      EXPECT_EQ(receive.call(fd, 0), -1);
      EXPECT_EQ(errno, EBADF);
    });
    green::GreenThread* cancelled = world.Go([&] {
      EXPECT_EQ(receive.call(kept.a(), 0), -1);
      EXPECT_EQ(errno, ECANCELED);
    });
    world.Go([&, cancelled] {
      WakeParkedOn(closed.a());
      closed.CloseA();
      world.scheduler()->Cancel(cancelled);
    });
    world.RunAll();
  }
}

TEST(SocketsTest, ACloseIsNotInheritedByWhoWaitsOnTheNextFileOfThatNumber) {
  PosixWorld world;
  Pair pair;
  const int number = pair.a();
  int other_end = -1;
  world.Go([&] {
    char byte;
    EXPECT_EQ(recv(number, &byte, 1, 0), -1);
    EXPECT_EQ(errno, EBADF);
  });
  world.Go([&] {
    WakeParkedOn(number);
    int fds[2];
    GREENRING_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    GREENRING_CHECK(dup2(fds[0], number) == number);
    close(fds[0]);
    other_end = fds[1];
    char byte = 0;
    EXPECT_EQ(recv(number, &byte, 1, 0), 1) << errno;
    EXPECT_EQ(byte, 'n');
  });
  world.Go([&] {
    for (int i = 0; i < 10; ++i) sched_yield();
    EXPECT_EQ(send(other_end, "n", 1, 0), 1);
    close(other_end);
  });
  world.RunAll();
}

TEST(SocketsTest, SignalHandlersEndReceivesUnlessTheyRestartThem) {
  for (const bool with_timeout : {false, true}) {
    PosixWorld world;
    Pair pair;
    if (with_timeout) SetTimeout(pair.a(), SO_RCVTIMEO, 1000 * kNanosecondsPerSecond);
    int stage = 0;
    world.Go(
        [&] {
          char byte;
          EXPECT_EQ(recv(pair.a(), &byte, 1, 0), -1);
          EXPECT_EQ(errno, EINTR);
          EXPECT_EQ(stage, with_timeout ? 1 : 2);  // signal(7): with a timeout it is never restarted
        },
        {.is_os_thread = true});
    world.Go([&] {
      stage = 1;
      InterruptMainThread(Restart::kAsHandlerSays);
      usleep(1000);
      stage = 2;
      InterruptMainThread(Restart::kNever);
    });
    world.RunAll();
  }
}

TEST(SocketsTest, WaitallReceivesTheWholeOfAStream) {
  const std::function<ssize_t(int, char*, size_t)> calls[] = {
      [](int fd, char* data, size_t size) { return recv(fd, data, size, MSG_WAITALL); },
      [](int fd, char* data, size_t size) { return recv(fd, data, size, MSG_WAITALL | MSG_PEEK); },
      [](int fd, char* data, size_t size) {
        iovec parts[40];
        size_t offset = 0;
        for (iovec& part : parts) {
          part = {data + offset, std::min<size_t>(size - offset, &part == &parts[39] ? SIZE_MAX : size / 40)};
          offset += part.iov_len;
        }
        msghdr message{};
        message.msg_iov = parts;
        message.msg_iovlen = 40;
        return recvmsg(fd, &message, MSG_WAITALL);
      },
  };
  for (const auto& call : calls) {
    PosixWorld world;
    Pair pair;
    const std::string data = Pattern(1001);
    world.Go([&] {
      std::string received(data.size(), 0);
      EXPECT_EQ(call(pair.a(), received.data(), received.size()), 1001);
      EXPECT_EQ(received, data);
    });
    world.Go([&] {
      for (size_t i = 0; i < data.size(); i += 77) {
        const size_t size = std::min<size_t>(77, data.size() - i);
        EXPECT_EQ(send(pair.b(), data.data() + i, size, 0), static_cast<ssize_t>(size));
        usleep(100);
      }
    });
    world.RunAll();
  }
}

TEST(SocketsTest, WaitallTellsThePartThatCameBeforeTheEnd) {
  enum End { kShutdown, kTimeout, kCancel, kClose };
  for (const int extra : {0, static_cast<int>(MSG_PEEK)}) {
    for (const End end : {kShutdown, kTimeout, kCancel}) {
      PosixWorld world;
      Pair pair;
      if (end == kTimeout) SetTimeout(pair.a(), SO_RCVTIMEO, 20 * kMs);
      green::GreenThread* receiver = world.Go([&] {
        char data[100];
        EXPECT_EQ(recv(pair.a(), data, sizeof(data), MSG_WAITALL | extra), 10);
      });
      world.Go([&, receiver] {
        send(pair.b(), "0123456789", 10, 0);
        usleep(1000);
        if (end == kShutdown) shutdown(pair.b(), SHUT_WR);
        if (end == kCancel) world.scheduler()->Cancel(receiver);
      });
      world.RunAll();
    }
  }
}

TEST(SocketsTest, WaitallLeavesDatagramsAndDescriptorsAlone) {
  PosixWorld world;
  Pair datagrams(SOCK_DGRAM), stream;
  world.Run([&] {
    char data[100];
    send(datagrams.b(), "0123456789", 10, 0);
    EXPECT_EQ(recv(datagrams.a(), data, sizeof(data), MSG_WAITALL), 10);
    // A message that carries a descriptor ends the receive.
    iovec part = {data, 3};
    char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &stream.fds[0], sizeof(int));
    EXPECT_EQ(sendmsg(stream.b(), &message, 0), 3);
    part.iov_len = sizeof(data);
    memset(control, 0, sizeof(control));
    EXPECT_EQ(recvmsg(stream.a(), &message, MSG_WAITALL), 3);
    ASSERT_NE(CMSG_FIRSTHDR(&message), nullptr);
    int received_fd;
    memcpy(&received_fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
    EXPECT_EQ(close(received_fd), 0);
  });
}

TEST(SocketsTest, WaitallLeavesTheErrorOfABrokenConnectionForTheNextCall) {
  PosixWorld world;
  const int listener = Listener();
  world.Run([&] {
    const sockaddr_in address = NameOf(listener);
    const int client = socket(AF_INET, SOCK_STREAM, 0);
    ASSERT_EQ(connect(client, Generic(address), sizeof(address)), 0);
    const int server = accept(listener, nullptr, nullptr);
    bool ended = false;
    world.Go([&] {
      char data[100];
      EXPECT_EQ(recv(client, data, sizeof(data), MSG_WAITALL), 3);
      EXPECT_EQ(recv(client, data, sizeof(data), 0), -1);
      EXPECT_EQ(errno, ECONNRESET);
      ended = true;
    });
    send(server, "123", 3, 0);
    usleep(1000);
    const linger hard = {1, 0};
    setsockopt(server, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    close(server);
    while (!ended) usleep(100);
    close(client);
  });
  close(listener);
}

TEST(SocketsTest, RecvfromAndRecvmsgTellTheSenderAfterParking) {
  PosixWorld world;
  const int receiver = Bound(SOCK_DGRAM), sender = Bound(SOCK_DGRAM);
  world.Go([&] {
    char data[16];
    sockaddr_in from{};
    socklen_t size = sizeof(from);
    EXPECT_EQ(recvfrom(receiver, data, sizeof(data), 0, reinterpret_cast<sockaddr*>(&from), &size), 3);
    EXPECT_EQ(size, sizeof(from));
    EXPECT_EQ(from.sin_port, NameOf(sender).sin_port);
    iovec part = {data, 2};
    sockaddr_in sender_name{};
    msghdr message{};
    message.msg_name = &sender_name;
    message.msg_namelen = sizeof(sender_name);
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    EXPECT_EQ(recvmsg(receiver, &message, 0), 2);
    EXPECT_EQ(message.msg_flags & MSG_TRUNC, MSG_TRUNC);
    EXPECT_EQ(sender_name.sin_port, NameOf(sender).sin_port);
  });
  world.Go([&] {
    const sockaddr_in to = NameOf(receiver);
    EXPECT_EQ(sendto(sender, "one", 3, 0, Generic(to), sizeof(to)), 3);
    usleep(1000);
    EXPECT_EQ(sendto(sender, "three", 5, 0, Generic(to), sizeof(to)), 5);
  });
  world.RunAll();
  close(receiver);
  close(sender);
}

// Receives up to three datagrams of the socket, with recvmmsg.
struct Batch {
  Batch() {
    for (int i = 0; i < 3; ++i) {
      parts[i] = {data[i], sizeof(data[i])};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
  }
  int Receive(int fd, int flags, timespec* timeout) { return recvmmsg(fd, messages, 3, flags, timeout); }

  char data[3][16];
  iovec parts[3];
  mmsghdr messages[3] = {};
};

TEST(SocketsTest, RecvmmsgWaitsForAllOrForOneOrUntilItsTimeoutAfterADatagram) {
  PosixWorld world;
  Pair pair(SOCK_DGRAM);
  world.Go([&] {
    Batch all;
    EXPECT_EQ(all.Receive(pair.a(), 0, nullptr), 3);
    EXPECT_EQ(all.messages[0].msg_len + all.messages[1].msg_len + all.messages[2].msg_len, 1u + 2 + 3);
    Batch one;
    EXPECT_EQ(one.Receive(pair.a(), MSG_WAITFORONE, nullptr), 1);
    Batch late;
    timespec timeout = {0, kMs};
    EXPECT_EQ(late.Receive(pair.a(), 0, &timeout), 1);  // waits beyond its timeout for the first, as Linux does
    EXPECT_TRUE(timeout.tv_sec == 0 && timeout.tv_nsec == 0);
    Batch soon;
    timeout = {1000, 0};
    EXPECT_EQ(soon.Receive(pair.a(), MSG_WAITFORONE, &timeout), 1);
    EXPECT_EQ(timeout.tv_sec, 999);
    timeout = {-1, 0};
    EXPECT_EQ(soon.Receive(pair.a(), 0, &timeout), -1);
    EXPECT_EQ(errno, EINVAL);
  });
  world.Go([&] {
    send(pair.b(), "1", 1, 0);
    usleep(500);
    send(pair.b(), "12", 2, 0);
    send(pair.b(), "123", 3, 0);
    usleep(20'000);
    send(pair.b(), "4", 1, 0);
    usleep(20'000);
    send(pair.b(), "5", 1, 0);
    usleep(20'000);
    send(pair.b(), "6", 1, 0);
  });
  world.RunAll();
}

TEST(SocketsTest, RecvmmsgTellsWhatCameBeforeItEnded) {
  PosixWorld world;
  Pair pair(SOCK_DGRAM);
  SetTimeout(pair.a(), SO_RCVTIMEO, 10 * kMs);
  world.Run([&] {
    send(pair.b(), "1", 1, 0);
    send(pair.b(), "2", 1, 0);
    Batch batch;
    EXPECT_EQ(batch.Receive(pair.a(), 0, nullptr), 2);
    EXPECT_EQ(batch.Receive(pair.a(), 0, nullptr), -1);
    EXPECT_EQ(errno, EAGAIN);
    send(pair.b(), "3", 1, 0);
    SetNonBlocking(pair.a());
    EXPECT_EQ(batch.Receive(pair.a(), 0, nullptr), 1);
  });
}

// ---- sending -------------------------------------------------------------------------------------------------------

TEST(SocketsTest, SendsParkUntilThePeerReceives) {
  for (const Call& send_it : Sends()) {
    SCOPED_TRACE(send_it.name);
    PosixWorld world;
    Pair pair;
    size_t filled = 0;
    bool sent = false;
    world.Go([&] {
      filled = Fill(pair.a());
      EXPECT_EQ(send_it.call(pair.a(), 0), 1000);
      sent = true;
    });
    world.Go([&] {
      EXPECT_FALSE(sent);
      EXPECT_EQ(ReceiveAll(pair.b(), filled + 1000).substr(filled), std::string(1000, 's'));
    });
    world.RunAll();
    EXPECT_TRUE(sent);
  }
}

TEST(SocketsTest, SendsOfWhatFitsDoNotPark) {
  for (const Call& send_it : Sends()) {
    SCOPED_TRACE(send_it.name);
    PosixWorld world;
    Pair pair;
    world.Run([&] {
      const uint64_t switches = world.scheduler()->stats().switches;
      EXPECT_EQ(send_it.call(pair.a(), 0), 1000);
      Fill(pair.a());
      EXPECT_EQ(send_it.call(pair.a(), MSG_DONTWAIT), -1);
      EXPECT_EQ(errno, EAGAIN);
      SetNonBlocking(pair.a());
      errno = 0;
      EXPECT_EQ(send_it.call(pair.a(), 0), -1);
      EXPECT_EQ(errno, EAGAIN);
      EXPECT_EQ(world.scheduler()->stats().switches, switches);
    });
  }
}

TEST(SocketsTest, SendsEndByTimeoutCloseCancelAndError) {
  for (const Call& send_it : Sends()) {
    SCOPED_TRACE(send_it.name);
    PosixWorld world;
    Pair late, closed, cancelled, broken;
    for (const Pair* pair : {&late, &closed, &cancelled, &broken}) Fill(pair->a());
    SetTimeout(late.a(), SO_SNDTIMEO, 20 * kMs);
    const auto go = [&](int fd, int error_number) {
      return world.Go([&, fd, error_number] {
        const int64_t begin_ns = NowNs();
        EXPECT_EQ(send_it.call(fd, MSG_NOSIGNAL), -1);
        EXPECT_EQ(errno, error_number);
        EXPECT_GE(NowNs() - begin_ns, error_number == EAGAIN ? 20 * kMs : 0);
      });
    };
    go(late.a(), EAGAIN);
    go(closed.a(), EBADF);
    green::GreenThread* thread = go(cancelled.a(), ECANCELED);
    go(broken.a(), EPIPE);
    world.Go([&, thread] {
      WakeParkedOn(closed.a());
      closed.CloseA();
      world.scheduler()->Cancel(thread);
      broken.CloseB();
    });
    world.RunAll();
  }
}

TEST(SocketsTest, ABlockingSendSendsEverything) {
  const std::string data = Pattern(3'000'000);
  const std::function<ssize_t(int)> calls[] = {
      [&](int fd) { return send(fd, data.data(), data.size(), 0); },
      [&](int fd) {
        std::vector<iovec> parts(1000);
        for (size_t i = 0; i < parts.size(); ++i) parts[i] = {const_cast<char*>(data.data()) + i * 3000, 3000};
        msghdr message{};
        message.msg_iov = parts.data();
        message.msg_iovlen = parts.size();
        return sendmsg(fd, &message, 0);
      },
      [&](int fd) -> ssize_t {
        iovec parts[3];
        mmsghdr messages[3] = {};
        for (size_t i = 0; i < 3; ++i) {
          parts[i] = {const_cast<char*>(data.data()) + i * 1'000'000, 1'000'000};
          messages[i].msg_hdr.msg_iov = &parts[i];
          messages[i].msg_hdr.msg_iovlen = 1;
        }
        EXPECT_EQ(sendmmsg(fd, messages, 3, 0), 3);
        return messages[0].msg_len + messages[1].msg_len + messages[2].msg_len;
      },
  };
  for (const auto& call : calls) {
    PosixWorld world;
    Pair pair;
    world.Go([&] { EXPECT_EQ(call(pair.a()), 3'000'000); });
    world.Go([&] { EXPECT_TRUE(ReceiveAll(pair.b(), data.size()) == data); });
    world.RunAll();
  }
}

TEST(SocketsTest, APartialSendIsToldWhenItEnds) {
  enum End { kTimeout, kCancel, kPeerGone };
  for (const End end : {kTimeout, kCancel, kPeerGone}) {
    PosixWorld world;
    Pair pair;
    if (end == kTimeout) SetTimeout(pair.a(), SO_SNDTIMEO, 20 * kMs);
    const std::string data(3'000'000, 'x');
    green::GreenThread* sender = world.Go([&] {
      // Without MSG_NOSIGNAL: a part was sent, so there is no SIGPIPE either.
      const ssize_t sent = send(pair.a(), data.data(), data.size(), 0);
      EXPECT_GT(sent, 0);
      EXPECT_LT(sent, 3'000'000);
      if (end != kPeerGone) return;
      EXPECT_EQ(send(pair.a(), data.data(), data.size(), MSG_NOSIGNAL), -1);
      EXPECT_TRUE(errno == ECONNRESET || errno == EPIPE) << errno;
    });
    world.Go([&, sender] {
      if (end == kCancel) world.scheduler()->Cancel(sender);
      if (end == kPeerGone) pair.CloseB();
    });
    world.RunAll();
  }
}

TEST(SocketsTest, ASendWaitsQuietlyForAPeerThatHasShutDownItsSide) {
  PosixWorld world;
  Pair pair;
  shutdown(pair.b(), SHUT_WR);
  size_t filled = 0;
  world.Go([&] {
    filled = Fill(pair.a());
    const uint64_t switches = world.scheduler()->stats().switches;
    EXPECT_EQ(send(pair.a(), "x", 1, 0), 1);
    EXPECT_LT(world.scheduler()->stats().switches - switches, 20u);
  });
  world.Go([&] {
    usleep(50'000);
    EXPECT_EQ(ReceiveAll(pair.b(), filled + 1).size(), filled + 1);
  });
  world.RunAll();
}

TEST(SocketsTest, ADatagramWaitsForAReceiverWhoseQueueIsFull) {
  // Poll calls the sender writable all the while.
  PosixWorld world;
  const int receiver = socket(AF_UNIX, SOCK_DGRAM, 0), sender = socket(AF_UNIX, SOCK_DGRAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socklen_t size = sizeof(address);
  GREENRING_CHECK(bind(receiver, reinterpret_cast<sockaddr*>(&address), sizeof(sa_family_t)) == 0);
  GREENRING_CHECK(getsockname(receiver, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  int filled = 0;
  bool sent = false;
  world.Go([&] {
    while (sendto(sender, "f", 1, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&address), size) == 1) ++filled;
    ASSERT_EQ(errno, EAGAIN);
    const uint64_t switches = world.scheduler()->stats().switches;
    EXPECT_EQ(sendto(sender, "x", 1, 0, reinterpret_cast<sockaddr*>(&address), size), 1);
    EXPECT_LT(world.scheduler()->stats().switches - switches, 200u);
    sent = true;
  });
  world.Go([&] {
    usleep(50'000);
    EXPECT_FALSE(sent);
    char byte = 0;
    for (int i = 0; i <= filled; ++i) EXPECT_EQ(recv(receiver, &byte, 1, 0), 1);
    EXPECT_EQ(byte, 'x');
  });
  world.RunAll();
  close(receiver);
  close(sender);
}

TEST(SocketsTest, SigpipeIsSentAsEver) {
  PosixWorld world;
  Pair pair;
  static int signals;
  signals = 0;
  struct sigaction action {
  }, before;
  action.sa_handler = [](int) { ++signals; };
  sigaction(SIGPIPE, &action, &before);
  world.Run([&] {
    pair.CloseB();
    EXPECT_EQ(send(pair.a(), "x", 1, MSG_NOSIGNAL), -1);
    EXPECT_EQ(errno, EPIPE);
    EXPECT_EQ(signals, 0);
    EXPECT_EQ(send(pair.a(), "x", 1, 0), -1);
    EXPECT_EQ(errno, EPIPE);
    EXPECT_EQ(signals, 1);
  });
  sigaction(SIGPIPE, &before, nullptr);
}

// ---- sendfile ------------------------------------------------------------------------------------------------------

int FileWith(const std::string& content) {
  const int fd = memfd_create("content", MFD_CLOEXEC);
  GREENRING_CHECK(write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
  GREENRING_CHECK(lseek(fd, 0, SEEK_SET) == 0);
  return fd;
}

TEST(SocketsTest, SendfileSendsEverythingAndMovesOneOfThePositions) {
  PosixWorld world;
  Pair pair;
  const std::string data = Pattern(1'000'000);
  const int file = FileWith(data);
  world.Go([&] {
    EXPECT_EQ(sendfile(pair.a(), file, nullptr, 600'000), 600'000);
    EXPECT_EQ(lseek(file, 0, SEEK_CUR), 600'000);
    off_t offset = 600'000;
    EXPECT_EQ(sendfile(pair.a(), file, &offset, 10'000'000), 400'000);
    EXPECT_EQ(offset, 1'000'000);
    EXPECT_EQ(lseek(file, 0, SEEK_CUR), 600'000);
    EXPECT_EQ(sendfile(pair.a(), file, &offset, 1), 0);
    EXPECT_EQ(sendfile(pair.a(), file, &offset, 0), 0);
  });
  world.Go([&] { EXPECT_TRUE(ReceiveAll(pair.b(), data.size()) == data); });
  world.RunAll();
  close(file);
}

TEST(SocketsTest, SendfileTellsErrorsAndWhatWasSentBeforeThem) {
  PosixWorld world;
  Pair pair, full;
  const int file = FileWith(Pattern(3'000'000));
  world.Run([&] {
    SetTimeout(pair.a(), SO_SNDTIMEO, 10 * kMs);
    const ssize_t sent = sendfile(pair.a(), file, nullptr, 3'000'000);
    EXPECT_TRUE(sent > 0 && sent < 3'000'000) << sent;
    EXPECT_EQ(lseek(file, 0, SEEK_CUR), sent);
    EXPECT_EQ(sendfile(pair.a(), file, nullptr, 3'000'000), -1);
    EXPECT_EQ(errno, EAGAIN);
    EXPECT_EQ(lseek(file, 0, SEEK_CUR), sent);
    off_t offset = -1;
    EXPECT_EQ(sendfile(pair.a(), file, &offset, 1), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(sendfile(-1, file, nullptr, 1), -1);
    EXPECT_EQ(errno, EBADF);
    EXPECT_EQ(sendfile(pair.a(), -1, nullptr, 1), -1);
    EXPECT_EQ(errno, EBADF);
    SetNonBlocking(full.a());
    const uint64_t switches = world.scheduler()->stats().switches;
    Fill(full.a());
    EXPECT_EQ(sendfile(full.a(), file, nullptr, 1), -1);
    EXPECT_EQ(errno, EAGAIN);
    EXPECT_EQ(world.scheduler()->stats().switches, switches);
  });
  close(file);
}

// ---- connections ---------------------------------------------------------------------------------------------------

TEST(SocketsTest, AcceptParksUntilAClientConnects) {
  PosixWorld world;
  const int listener = Listener();
  bool accepted = false;
  world.Go([&] {
    sockaddr_in peer{};
    socklen_t size = sizeof(peer);
    const int server = accept(listener, reinterpret_cast<sockaddr*>(&peer), &size);
    ASSERT_GE(server, 0);
    accepted = true;
    EXPECT_EQ(size, sizeof(peer));
    EXPECT_EQ(peer.sin_family, AF_INET);
    EXPECT_FALSE(fcntl(server, F_GETFL) & O_NONBLOCK);
    EXPECT_FALSE(fcntl(server, F_GETFD) & FD_CLOEXEC);
    close(server);
    const int second = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    ASSERT_GE(second, 0);
    EXPECT_TRUE(fcntl(second, F_GETFL) & O_NONBLOCK);
    EXPECT_TRUE(fcntl(second, F_GETFD) & FD_CLOEXEC);
    close(second);
  });
  world.Go([&] {
    EXPECT_FALSE(accepted);
    const sockaddr_in address = NameOf(listener);
    for (int i = 0; i < 2; ++i) {
      const int client = socket(AF_INET, SOCK_STREAM, 0);
      EXPECT_EQ(connect(client, Generic(address), sizeof(address)), 0);
      close(client);
    }
  });
  world.RunAll();
  close(listener);
}

TEST(SocketsTest, AcceptEndsByTimeoutCloseCancelAndError) {
  PosixWorld world;
  const int late = Listener(), closed = Listener(), cancelled = Listener(), nonblocking = Listener();
  const int idle = socket(AF_INET, SOCK_STREAM, 0);
  SetTimeout(late, SO_RCVTIMEO, 20 * kMs);
  SetNonBlocking(nonblocking);
  const auto go = [&](int fd, int error_number) {
    return world.Go([fd, error_number, late] {
      const int64_t begin_ns = NowNs();
      EXPECT_EQ(accept(fd, nullptr, nullptr), -1);
      EXPECT_EQ(errno, error_number);
      EXPECT_GE(NowNs() - begin_ns, fd == late ? 20 * kMs : 0);
    });
  };
  go(late, EAGAIN);
  go(nonblocking, EAGAIN);
  go(closed, EBADF);
  go(-1, EBADF);
  go(idle, EINVAL);
  green::GreenThread* thread = go(cancelled, ECANCELED);
  world.Go([&, thread] {
    WakeParkedOn(closed);
    world.scheduler()->Cancel(thread);
  });
  world.RunAll();
  for (const int fd : {late, closed, cancelled, nonblocking, idle}) close(fd);
}

TEST(SocketsTest, ConnectTellsTheKernelsAnswer) {
  PosixWorld world;
  const int listener = Listener(), not_listening = Bound(SOCK_STREAM);
  world.Run([&] {
    const sockaddr_in address = NameOf(listener), nobody = NameOf(not_listening);
    const int client = socket(AF_INET, SOCK_STREAM, 0), refused = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_EQ(connect(client, Generic(address), sizeof(address)), 0);
    EXPECT_EQ(connect(client, Generic(address), sizeof(address)), -1);
    EXPECT_EQ(errno, EISCONN);
    EXPECT_EQ(connect(refused, Generic(nobody), sizeof(nobody)), -1);
    EXPECT_EQ(errno, ECONNREFUSED);
    EXPECT_EQ(connect(-1, Generic(address), sizeof(address)), -1);
    EXPECT_EQ(errno, EBADF);
    EXPECT_EQ(connect(refused, Generic(address), 3), -1);
    EXPECT_EQ(errno, EINVAL);
    const int nonblocking = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    EXPECT_EQ(connect(nonblocking, Generic(address), sizeof(address)), -1);
    EXPECT_EQ(errno, EINPROGRESS);
    const int datagrams = socket(AF_INET, SOCK_DGRAM, 0);
    EXPECT_EQ(connect(datagrams, Generic(address), sizeof(address)), 0);
    for (const int fd : {client, refused, nonblocking, datagrams}) close(fd);
  });
  close(listener);
  close(not_listening);
}

// A listener whose queue is full: who connects to it waits.
struct FullListener {
  FullListener() {
    fd = Bound(SOCK_STREAM);
    GREENRING_CHECK(listen(fd, 0) == 0);
    address = NameOf(fd);
    for (int i = 0; i < 4; ++i) {
      clients.push_back(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
      connect(clients.back(), Generic(address), sizeof(address));
    }
  }
  ~FullListener() {
    for (const int client : clients) close(client);
    close(fd);
  }

  int fd;
  sockaddr_in address;
  std::vector<int> clients;
};

TEST(SocketsTest, ConnectParksAndEndsByTimeoutCancelAndClose) {
  PosixWorld world;
  FullListener listener;
  const int late = socket(AF_INET, SOCK_STREAM, 0), cancelled = socket(AF_INET, SOCK_STREAM, 0),
            closed = socket(AF_INET, SOCK_STREAM, 0);
  SetTimeout(late, SO_SNDTIMEO, 30 * kMs);
  const auto go = [&](int fd, int error_number) {
    return world.Go([&, fd, error_number] {
      const int64_t begin_ns = NowNs();
      EXPECT_EQ(connect(fd, Generic(listener.address), sizeof(listener.address)), -1);
      EXPECT_EQ(errno, error_number);
      EXPECT_GE(NowNs() - begin_ns, fd == late ? 30 * kMs : 0);
    });
  };
  go(late, EINPROGRESS);
  go(closed, EBADF);
  green::GreenThread* thread = go(cancelled, ECANCELED);
  world.Go([&, thread] {
    WakeParkedOn(closed);
    world.scheduler()->Cancel(thread);
  });
  world.RunAll();
  for (const int fd : {late, cancelled, closed}) close(fd);
}

TEST(SocketsTest, AConnectThatWasInterruptedCanBeWaitedForByAnother) {
  PosixWorld world;
  FullListener listener;
  const int client = socket(AF_INET, SOCK_STREAM, 0);
  world.Go(
      [&] {
        EXPECT_EQ(connect(client, Generic(listener.address), sizeof(listener.address)), -1);
        EXPECT_EQ(errno, EINTR);
        EXPECT_EQ(connect(client, Generic(listener.address), sizeof(listener.address)), 0) << errno;
        sockaddr_in peer;
        socklen_t size = sizeof(peer);
        EXPECT_EQ(getpeername(client, reinterpret_cast<sockaddr*>(&peer), &size), 0);
      },
      {.is_os_thread = true});
  world.Go([&] {
    InterruptMainThread(Restart::kNever);
    usleep(1000);
    // Room in the queue: the client's next SYN is answered.
    for (int i = 0; i < 2; ++i) close(accept(listener.fd, nullptr, nullptr));
  });
  world.RunAll();
  close(client);
}

TEST(SocketsTest, AConnectOfALocalSocketWaitsForRoomInTheListenersQueue) {
  PosixWorld world;
  const int listener = socket(AF_UNIX, SOCK_STREAM, 0), first = socket(AF_UNIX, SOCK_STREAM, 0),
            second = socket(AF_UNIX, SOCK_STREAM, 0), late = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socklen_t size = sizeof(address);
  GREENRING_CHECK(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(sa_family_t)) == 0);
  GREENRING_CHECK(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  GREENRING_CHECK(listen(listener, 0) == 0);
  const auto* name = reinterpret_cast<const sockaddr*>(&address);
  SetTimeout(late, SO_SNDTIMEO, 20 * kMs);
  bool connected = false;
  world.Go([&] {
    EXPECT_EQ(connect(first, name, size), 0);
    EXPECT_EQ(connect(late, name, size), -1);
    EXPECT_EQ(errno, EAGAIN);
    EXPECT_EQ(connect(second, name, size), 0);
    connected = true;
  });
  world.Go([&] {
    usleep(50'000);
    EXPECT_FALSE(connected);
    close(accept(listener, nullptr, nullptr));
  });
  world.RunAll();
  EXPECT_TRUE(connected);
  for (const int fd : {listener, first, second, late}) close(fd);
}

// ---- other threads -------------------------------------------------------------------------------------------------

TEST(SocketsTest, OsThreadsBlockAsEver) {
  Pair pair;
  SetTimeout(pair.a(), SO_RCVTIMEO, 10 * kMs);
  std::thread([&] {
    const int64_t begin_ns = NowNs();
    char data[16];
    EXPECT_EQ(recv(pair.a(), data, sizeof(data), 0), -1);
    EXPECT_EQ(errno, EAGAIN);
    EXPECT_GE(NowNs() - begin_ns, 9 * kMs);
    EXPECT_EQ(send(pair.b(), "four", 4, 0), 4);
    EXPECT_EQ(recv(pair.a(), data, sizeof(data), 0), 4);
    const int listener = Listener(), client = socket(AF_INET, SOCK_STREAM, 0);
    const sockaddr_in address = NameOf(listener);
    EXPECT_EQ(connect(client, Generic(address), sizeof(address)), 0);
    const int server = accept(listener, nullptr, nullptr);
    EXPECT_GE(server, 0);
    for (const int fd : {listener, client, server}) close(fd);
  }).join();
}

}  // namespace
}  // namespace greenring::posix
