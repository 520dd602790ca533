#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "gtest/gtest.h"
#include "ioloop/posix/blocking_call.h"
#include "ioloop/posix/posix_world.h"
#include "ioloop/posix/socket_test_util.h"
#include "ioloop/posix/sockets.h"

namespace greenring::posix {
namespace {

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

TEST(ReceiveTest, ReceivesParkUntilThePeerSends) {
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

TEST(ReceiveTest, ReceivesOfWhatIsThereMakeNoOperation) {
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

TEST(ReceiveTest, ReceivesThatMayNotBlockReturnAtOnce) {
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

TEST(ReceiveTest, TheErrorQueueNeverBlocks) {
  PosixWorld world;
  const int fd = Bound(SOCK_DGRAM);
  world.Run([&] {
    char byte;
    EXPECT_EQ(recv(fd, &byte, 1, MSG_ERRQUEUE), -1);
    EXPECT_EQ(errno, EAGAIN);
  });
  close(fd);
}

TEST(ReceiveTest, ReceivesTellTheKernelsErrors) {
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

TEST(ReceiveTest, ReceivesEndAtTheSocketsTimeout) {
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

TEST(ReceiveTest, CloseAndCancelEndParkedReceives) {
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
      closed.CloseA();
      world.scheduler()->Cancel(cancelled);
    });
    world.RunAll();
  }
}

TEST(ReceiveTest, ACloseIsNotInheritedByWhoWaitsOnTheNextFileOfThatNumber) {
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

TEST(ReceiveTest, SignalHandlersEndReceivesUnlessTheyRestartThem) {
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

TEST(ReceiveTest, WaitallReceivesTheWholeOfAStream) {
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

TEST(ReceiveTest, WaitallTellsThePartThatCameBeforeTheEnd) {
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

TEST(ReceiveTest, WaitallLeavesDatagramsAndDescriptorsAlone) {
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

TEST(ReceiveTest, WaitallLeavesTheErrorOfABrokenConnectionForTheNextCall) {
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

TEST(ReceiveTest, RecvfromAndRecvmsgTellTheSenderAfterParking) {
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

TEST(ReceiveTest, RecvmmsgWaitsForAllOrForOneOrUntilItsTimeoutAfterADatagram) {
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

TEST(ReceiveTest, RecvmmsgTellsWhatCameBeforeItEnded) {
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

}  // namespace
}  // namespace greenring::posix
