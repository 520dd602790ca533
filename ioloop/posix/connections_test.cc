#include <errno.h>
#include <sys/un.h>

#include <thread>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "gtest/gtest.h"
#include "ioloop/posix/blocking_call.h"
#include "ioloop/posix/posix_world.h"
#include "ioloop/posix/socket_test_util.h"

namespace greenring::posix {
namespace {

TEST(ConnectionsTest, AcceptParksUntilAClientConnects) {
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

TEST(ConnectionsTest, AcceptEndsByTimeoutCloseCancelAndError) {
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
    close(closed);
    world.scheduler()->Cancel(thread);
  });
  world.RunAll();
  for (const int fd : {late, cancelled, nonblocking, idle}) close(fd);
}

TEST(ConnectionsTest, ConnectTellsTheKernelsAnswer) {
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

TEST(ConnectionsTest, ConnectParksAndEndsByTimeoutCancelAndClose) {
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
    close(closed);
    world.scheduler()->Cancel(thread);
  });
  world.RunAll();
  for (const int fd : {late, cancelled}) close(fd);
}

TEST(ConnectionsTest, AConnectThatWasInterruptedCanBeWaitedForByAnother) {
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

TEST(ConnectionsTest, AConnectOfALocalSocketWaitsForRoomInTheListenersQueue) {
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

TEST(ConnectionsTest, OsThreadsBlockAsEver) {
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
