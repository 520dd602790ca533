#include <errno.h>
#include <signal.h>
#include <sys/un.h>

#include <functional>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "gtest/gtest.h"
#include "ioloop/posix/blocking_call.h"
#include "ioloop/posix/posix_world.h"
#include "ioloop/posix/socket_test_util.h"

namespace greenring::posix {
namespace {

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

TEST(SendTest, SendsParkUntilThePeerReceives) {
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

TEST(SendTest, SendsOfWhatFitsDoNotPark) {
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

TEST(SendTest, SendsEndByTimeoutCloseCancelAndError) {
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
      closed.CloseA();
      world.scheduler()->Cancel(thread);
      broken.CloseB();
    });
    world.RunAll();
  }
}

TEST(SendTest, ABlockingSendSendsEverything) {
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

TEST(SendTest, APartialSendIsToldWhenItEnds) {
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

TEST(SendTest, ASendWaitsQuietlyForAPeerThatHasShutDownItsSide) {
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

TEST(SendTest, ADatagramWaitsForAReceiverWhoseQueueIsFull) {
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

TEST(SendTest, SigpipeIsSentAsEver) {
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

}  // namespace
}  // namespace greenring::posix
