#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <string_view>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "base/sanitizers.h"
#include "gtest/gtest.h"
#include "ioloop/posix/blocking_call.h"
#include "ioloop/posix/posix_world.h"

namespace greenring::posix {
namespace {

constexpr int64_t kMs = kNanosecondsPerMillisecond;

int64_t NowNs() { return Clock::Monotonic()->NowNs(); }

// Not readable until written to.
struct Pipe {
  Pipe() { GREENRING_CHECK(pipe2(fds, O_CLOEXEC) == 0); }
  ~Pipe() {
    CloseReader();
    CloseWriter();
  }
  void CloseReader() { Close(&fds[0]); }
  void CloseWriter() { Close(&fds[1]); }
  static void Close(int* fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
  }
  void Write() { GREENRING_CHECK(write(fds[1], "x", 1) == 1); }
  int reader() const { return fds[0]; }

  int fds[2];
};

timespec ToTimespec(int64_t time_ns) { return {time_ns / kNanosecondsPerSecond, time_ns % kNanosecondsPerSecond}; }

// Each of the calls, waiting for one descriptor to be readable. `timeout_ns` -1: for ever.
struct Call {
  const char* name;
  std::function<int(int fd, int64_t timeout_ns)> wait;
};

int ToMs(int64_t timeout_ns) { return timeout_ns < 0 ? -1 : static_cast<int>(timeout_ns / kMs); }

// An epoll descriptor that watches `fd`, for as long as the call takes.
template <typename Wait>
int WithEpoll(int fd, Wait wait) {
  const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN;
  GREENRING_CHECK(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0);
  const int result = wait(epoll_fd, &event);
  const int error = errno;
  close(epoll_fd);
  errno = error;
  return result;
}

std::vector<Call> Calls() {
  return {
      {"poll",
       [](int fd, int64_t timeout_ns) {
         pollfd polled = {fd, POLLIN, 0};
         return poll(&polled, 1, ToMs(timeout_ns));
       }},
      {"ppoll",
       [](int fd, int64_t timeout_ns) {
         pollfd polled = {fd, POLLIN, 0};
         const timespec timeout = ToTimespec(timeout_ns);
         return ppoll(&polled, 1, timeout_ns < 0 ? nullptr : &timeout, nullptr);
       }},
      {"select",
       [](int fd, int64_t timeout_ns) {
         fd_set set;
         FD_ZERO(&set);
         FD_SET(fd, &set);
         timeval timeout = {timeout_ns / kNanosecondsPerSecond, timeout_ns % kNanosecondsPerSecond / 1000};
         return select(fd + 1, &set, nullptr, nullptr, timeout_ns < 0 ? nullptr : &timeout);
       }},
      {"pselect",
       [](int fd, int64_t timeout_ns) {
         fd_set set;
         FD_ZERO(&set);
         FD_SET(fd, &set);
         const timespec timeout = ToTimespec(timeout_ns);
         return pselect(fd + 1, &set, nullptr, nullptr, timeout_ns < 0 ? nullptr : &timeout, nullptr);
       }},
      {"epoll_wait",
       [](int fd, int64_t timeout_ns) {
         return WithEpoll(
             fd, [&](int epoll_fd, epoll_event* event) { return epoll_wait(epoll_fd, event, 1, ToMs(timeout_ns)); });
       }},
      {"epoll_pwait",
       [](int fd, int64_t timeout_ns) {
         return WithEpoll(fd, [&](int epoll_fd, epoll_event* event) {
           return epoll_pwait(epoll_fd, event, 1, ToMs(timeout_ns), nullptr);
         });
       }},
      {"epoll_pwait2",
       [](int fd, int64_t timeout_ns) {
         const timespec timeout = ToTimespec(timeout_ns);
         return WithEpoll(fd, [&](int epoll_fd, epoll_event* event) {
           return epoll_pwait2(epoll_fd, event, 1, timeout_ns < 0 ? nullptr : &timeout, nullptr);
         });
       }},
  };
}

// ---- what all have in common ---------------------------------------------------------------------------------------

TEST(MultiplexTest, EachParksUntilTheDescriptorIsReady) {
  for (const Call& call : Calls()) {
    SCOPED_TRACE(call.name);
    for (const int64_t timeout_ns : {int64_t{-1}, 1000 * kNanosecondsPerSecond}) {
      PosixWorld world;
      Pipe pipe;
      bool written = false;
      world.Go([&] {
        errno = 123;
        EXPECT_EQ(call.wait(pipe.reader(), timeout_ns), 1);
        EXPECT_TRUE(written);
      });
      world.Go([&] {
        written = true;
        pipe.Write();
      });
      world.RunAll();
    }
  }
}

TEST(MultiplexTest, WhatIsReadyOrMayNotWaitNeverParks) {
  for (const Call& call : Calls()) {
    SCOPED_TRACE(call.name);
    PosixWorld world;
    Pipe pipe;
    world.Run([&] {
      const uint64_t switches = world.scheduler()->stats().switches;
      EXPECT_EQ(call.wait(pipe.reader(), 0), 0);
      pipe.Write();
      EXPECT_EQ(call.wait(pipe.reader(), 0), 1);
      EXPECT_EQ(call.wait(pipe.reader(), -1), 1);
      EXPECT_EQ(world.scheduler()->stats().switches, switches);
    });
  }
}

TEST(MultiplexTest, EachEndsAtItsTimeoutWhileOthersRun) {
  for (const Call& call : Calls()) {
    SCOPED_TRACE(call.name);
    PosixWorld world;
    Pipe pipe;
    bool other_ran = false;
    world.Go([&] {
      const int64_t begin_ns = NowNs();
      EXPECT_EQ(call.wait(pipe.reader(), 20 * kMs), 0);
      EXPECT_GE(NowNs() - begin_ns, 20 * kMs);
      EXPECT_TRUE(other_ran);
    });
    world.Go([&] { other_ran = true; });
    world.RunAll();
  }
}

// Event loops wait in epoll_wait, and some end the process when it fails with anything but EINTR.
TEST(MultiplexTest, CancelEndsEachButEpoll) {
  for (const Call& call : Calls()) {
    SCOPED_TRACE(call.name);
    const bool is_epoll = std::string_view(call.name).substr(0, 5) == "epoll";
    PosixWorld world;
    Pipe pipe;
    green::GreenThread* waiter = world.Go([&] {
      EXPECT_EQ(call.wait(pipe.reader(), -1), is_epoll ? 1 : -1);
      EXPECT_TRUE(is_epoll || errno == ECANCELED);
    });
    world.Go([&, waiter] {
      world.scheduler()->Cancel(waiter);
      if (is_epoll) pipe.Write();
    });
    world.RunAll();
  }
}

TEST(MultiplexTest, AnySignalHandlerEndsEachOnTheMainGreenThread) {
  for (const Call& call : Calls()) {
    SCOPED_TRACE(call.name);
    PosixWorld world;
    Pipe pipe;
    world.Go(
        [&] {
          EXPECT_EQ(call.wait(pipe.reader(), -1), -1);
          EXPECT_EQ(errno, EINTR);
        },
        {.is_os_thread = true});
    world.Go([] { InterruptMainThread(Restart::kAsHandlerSays); });
    world.RunAll();
  }
}

TEST(MultiplexTest, OsThreadsWaitAsEver) {
  Pipe pipe;
  std::thread([&] {
    for (const Call& call : Calls()) {
      SCOPED_TRACE(call.name);
      const int64_t begin_ns = NowNs();
      EXPECT_EQ(call.wait(pipe.reader(), 2 * kMs), 0);
      EXPECT_GE(NowNs() - begin_ns, 2 * kMs);
    }
    pipe.Write();
    for (const Call& call : Calls()) EXPECT_EQ(call.wait(pipe.reader(), -1), 1) << call.name;
  }).join();
}

TEST(MultiplexTest, WithoutDescriptorsItIsASleep) {
  PosixWorld world;
  bool other_ran = false;
  world.Go([&] {
    int64_t begin_ns = NowNs();
    EXPECT_EQ(poll(nullptr, 0, 10), 0);
    EXPECT_GE(NowNs() - begin_ns, 10 * kMs);
    EXPECT_TRUE(other_ran);
    timeval timeout = {0, 1'500};
    begin_ns = NowNs();
    EXPECT_EQ(select(0, nullptr, nullptr, nullptr, &timeout), 0);
    EXPECT_GE(NowNs() - begin_ns, 3 * kMs / 2);
    const timespec exact = {0, 123'456};
    begin_ns = NowNs();
    EXPECT_EQ(ppoll(nullptr, 0, &exact, nullptr), 0);
    EXPECT_GE(NowNs() - begin_ns, 123'456);
  });
  world.Go([&] { other_ran = true; });
  world.RunAll();
}

// ---- poll ----------------------------------------------------------------------------------------------------------

TEST(MultiplexTest, PollOfThousandsFindsTheOnesThatAreReady) {
  rlimit limit;
  GREENRING_CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 4096);
  GREENRING_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  const size_t count = std::min<size_t>(2000, limit.rlim_cur - 100);
  PosixWorld world;
  std::vector<pollfd> polled;
  for (size_t i = 0; i < count; ++i) polled.push_back({eventfd(0, EFD_CLOEXEC), POLLIN, 0});
  world.Go([&] {
    EXPECT_EQ(poll(polled.data(), polled.size(), -1), 2);
    for (size_t i = 0; i < count; ++i) EXPECT_EQ(polled[i].revents, i == 7 || i == count - 1 ? POLLIN : 0);
  });
  world.Go([&] {
    for (const size_t i : {size_t{7}, count - 1}) eventfd_write(polled[i].fd, 1);
  });
  world.RunAll();
  EXPECT_EQ(world.ring()->in_flight(), 0u);
  for (const pollfd& one : polled) close(one.fd);
}

TEST(MultiplexTest, PollLeavesOutNegativeDescriptorsAndTellsInvalidOnes) {
  PosixWorld world;
  Pipe pipe;
  const int gone = dup(pipe.reader());
  close(gone);
  world.Go([&] {
    pollfd polled[] = {{-1, POLLIN, 99}, {pipe.reader(), POLLIN, 99}, {-5, POLLIN, 99}};
    EXPECT_EQ(poll(polled, 3, -1), 1);
    EXPECT_EQ(polled[0].revents, 0);
    EXPECT_EQ(polled[1].revents, POLLIN);
    pollfd invalid[] = {{gone, POLLIN, 0}};
    EXPECT_EQ(poll(invalid, 1, -1), 1);
    EXPECT_EQ(invalid[0].revents, POLLNVAL);
  });
  world.Go([&] { pipe.Write(); });
  world.RunAll();
}

TEST(MultiplexTest, PollTellsEachRequestOfADescriptorThatIsAskedForTwice) {
  PosixWorld world;
  Pipe pipe;
  world.Go([&] {
    pollfd polled[] = {{pipe.reader(), POLLIN, 0}, {pipe.reader(), POLLIN | POLLPRI, 0}};
    EXPECT_EQ(poll(polled, 2, -1), 2);
  });
  world.Go([&] { pipe.Write(); });
  world.RunAll();
}

TEST(MultiplexTest, PollEndsWhenOneOfItsDescriptorsIsClosed) {
  PosixWorld world;
  Pipe pipes[6];
  world.Go([&] {
    pollfd polled[6];
    for (int i = 0; i < 6; ++i) polled[i] = {pipes[i].reader(), POLLIN, 0};
    EXPECT_EQ(poll(polled, 6, -1), 1);
    EXPECT_EQ(polled[5].revents, POLLNVAL);
  });
  world.Go([&] { pipes[5].CloseReader(); });
  world.RunAll();
}

TEST(MultiplexTest, PollTellsHangUpsAndErrorsUnasked) {
  PosixWorld world;
  Pipe to_hang_up, to_break;
  world.Go([&] {
    pollfd polled = {to_hang_up.reader(), 0, 0};
    EXPECT_EQ(poll(&polled, 1, -1), 1);
    EXPECT_EQ(polled.revents, POLLHUP);
    pollfd writer = {to_break.fds[1], 0, 0};
    EXPECT_EQ(poll(&writer, 1, -1), 1);
    EXPECT_EQ(writer.revents, POLLERR);
  });
  world.Go([&] {
    to_hang_up.CloseWriter();
    usleep(1000);
    to_break.CloseReader();
  });
  world.RunAll();
}

TEST(MultiplexTest, PollWaitsQuietlyForWhatAHalfClosedPeerMakesItSee) {
  // The ring's own poll ends with POLLRDHUP, asked or not.
  for (const size_t idle_count : {0, 20}) {
    PosixWorld world;
    int fds[2];
    GREENRING_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    std::vector<Pipe> idle(idle_count);
    const std::vector<char> data(1 << 16);
    while (send(fds[0], data.data(), data.size(), MSG_DONTWAIT) > 0) {
    }
    shutdown(fds[1], SHUT_WR);
    bool drained = false;
    world.Go([&] {
      std::vector<pollfd> polled = {{fds[0], POLLOUT, 0}, {fds[0], POLLOUT | POLLPRI, 0}};
      for (const Pipe& pipe : idle) polled.push_back({pipe.reader(), POLLIN, 0});
      const uint64_t switches = world.scheduler()->stats().switches;
      EXPECT_EQ(poll(polled.data(), polled.size(), 5), 0);
      EXPECT_EQ(poll(polled.data(), polled.size(), -1), 2);
      EXPECT_TRUE(drained);
      EXPECT_LT(world.scheduler()->stats().switches - switches, 30u);
    });
    world.Go([&] {
      usleep(50'000);
      drained = true;
      std::vector<char> sink(1 << 16);
      while (recv(fds[1], sink.data(), sink.size(), MSG_DONTWAIT) > 0) {
      }
    });
    world.RunAll();
    close(fds[0]);
    close(fds[1]);
  }
}

TEST(MultiplexTest, ManyWaitersOfOneDescriptorAllWakeAndOneWins) {
  PosixWorld world;
  Pipe pipe;
  GREENRING_CHECK(fcntl(pipe.reader(), F_SETFL, O_NONBLOCK) == 0);
  int won = 0;
  constexpr int kWaiters = 20;
  for (int i = 0; i < kWaiters; ++i) {
    world.Go([&] {
      for (char byte;;) {
        pollfd polled = {pipe.reader(), POLLIN, 0};
        EXPECT_EQ(poll(&polled, 1, -1), 1);
        if (read(pipe.reader(), &byte, 1) == 1) break;
      }
      ++won;
    });
  }
  world.Go([&] {
    for (int i = 0; i < kWaiters; ++i) {
      pipe.Write();
      while (won <= i) usleep(100);
    }
  });
  world.RunAll();
  EXPECT_EQ(won, kWaiters);
}

TEST(MultiplexTest, InvalidTimeoutsAreRefused) {
  PosixWorld world;
  Pipe pipe;
  world.Run([&] {
    const timespec invalid = {0, kNanosecondsPerSecond};
    pollfd polled = {pipe.reader(), POLLIN, 0};
    EXPECT_EQ(ppoll(&polled, 1, &invalid, nullptr), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(pselect(0, nullptr, nullptr, nullptr, &invalid, nullptr), -1);
    EXPECT_EQ(errno, EINVAL);
    timeval negative = {-1, 0};
    EXPECT_EQ(select(0, nullptr, nullptr, nullptr, &negative), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(select(-1, nullptr, nullptr, nullptr, nullptr), -1);
    EXPECT_EQ(errno, EINVAL);
    epoll_event event;
    EXPECT_EQ(epoll_wait(pipe.reader(), &event, 1, -1), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(epoll_wait(-1, &event, 1, -1), -1);
    EXPECT_EQ(errno, EBADF);
  });
}

// ---- select --------------------------------------------------------------------------------------------------------

TEST(MultiplexTest, SelectAnswersInItsSetsOnlyWhenItReturns) {
  PosixWorld world;
  Pipe first, second;
  fd_set readable, writable;
  world.Go([&] {
    FD_ZERO(&readable);
    FD_ZERO(&writable);
    FD_SET(first.reader(), &readable);
    FD_SET(second.reader(), &readable);
    timeval timeout = {1000, 0};
    EXPECT_EQ(select(FD_SETSIZE, &readable, nullptr, &writable, &timeout), 1);
    EXPECT_FALSE(FD_ISSET(first.reader(), &readable));
    EXPECT_TRUE(FD_ISSET(second.reader(), &readable));
    EXPECT_EQ(timeout.tv_sec, 999);
    // In two sets at once, and counted twice.
    int fds[2];
    GREENRING_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    GREENRING_CHECK(send(fds[1], "x", 1, 0) == 1);
    FD_ZERO(&readable);
    FD_SET(fds[0], &readable);
    FD_SET(fds[0], &writable);
    EXPECT_EQ(select(fds[0] + 1, &readable, &writable, nullptr, nullptr), 2);
    close(fds[0]);
    close(fds[1]);
  });
  world.Go([&] {
    EXPECT_TRUE(FD_ISSET(first.reader(), &readable));
    EXPECT_TRUE(FD_ISSET(second.reader(), &readable));
    second.Write();
  });
  world.RunAll();
}

TEST(MultiplexTest, SelectsTimeoutBecomesWhatIsLeftAndItsSetsEmpty) {
  PosixWorld world;
  Pipe pipe;
  world.Run([&] {
    fd_set readable;
    FD_ZERO(&readable);
    FD_SET(pipe.reader(), &readable);
    timeval timeout = {0, 2'000};
    EXPECT_EQ(select(pipe.reader() + 1, &readable, nullptr, nullptr, &timeout), 0);
    EXPECT_FALSE(FD_ISSET(pipe.reader(), &readable));
    EXPECT_TRUE(timeout.tv_sec == 0 && timeout.tv_usec == 0);
    // More than a second of microseconds.
    pipe.Write();
    FD_SET(pipe.reader(), &readable);
    timeout = {0, 2'500'000};
    EXPECT_EQ(select(pipe.reader() + 1, &readable, nullptr, nullptr, &timeout), 1);
    EXPECT_EQ(timeout.tv_sec, 2);
  });
}

TEST(MultiplexTest, SelectOfAClosedDescriptorIsAnErrorAndLeavesItsSets) {
  PosixWorld world;
  Pipe before, during;
  world.Go([&] {
    fd_set readable;
    FD_ZERO(&readable);
    const int fd = during.reader();
    FD_SET(fd, &readable);
    EXPECT_EQ(select(fd + 1, &readable, nullptr, nullptr, nullptr), -1);
    EXPECT_EQ(errno, EBADF);
    EXPECT_TRUE(FD_ISSET(fd, &readable));
    EXPECT_EQ(select(fd + 1, &readable, nullptr, nullptr, nullptr), -1);
    EXPECT_EQ(errno, EBADF);
  });
  world.Go([&] { during.CloseReader(); });
  world.RunAll();
}

TEST(MultiplexTest, SelectWaitsForExceptionsBesideAHangUpWithoutSpinning) {
  PosixWorld world;
  int fds[2];
  GREENRING_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
  close(fds[1]);
  world.Run([&] {
    fd_set exceptional;
    FD_ZERO(&exceptional);
    FD_SET(fds[0], &exceptional);
    timeval timeout = {0, 50'000};
    const uint64_t switches = world.scheduler()->stats().switches;
    EXPECT_EQ(select(fds[0] + 1, nullptr, nullptr, &exceptional, &timeout), 0);
    EXPECT_LT(world.scheduler()->stats().switches - switches, 400u);
  });
  close(fds[0]);
}

// ---- epoll ---------------------------------------------------------------------------------------------------------

TEST(MultiplexTest, EpollTellsAsManyEventsAsThereIsRoomFor) {
  PosixWorld world;
  Pipe pipes[3];
  const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  for (uint64_t i = 0; i < 3; ++i) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    event.data.u64 = i;
    GREENRING_CHECK(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pipes[i].reader(), &event) == 0);
  }
  world.Go([&] {
    epoll_event events[3];
    EXPECT_EQ(epoll_wait(epoll_fd, events, 2, -1), 2);
    EXPECT_EQ(epoll_wait(epoll_fd, events, 2, -1), 1);
    const uint64_t last = events[0].data.u64;  // a copy: the structure is packed
    EXPECT_EQ(last, 2u);
    EXPECT_EQ(epoll_wait(epoll_fd, events, 3, 0), 0);  // edge-triggered: each once
    EXPECT_EQ(epoll_wait(epoll_fd, events, 0, -1), -1);
    EXPECT_EQ(errno, EINVAL);
  });
  world.Go([&] {
    for (Pipe& pipe : pipes) pipe.Write();
  });
  world.RunAll();
  close(epoll_fd);
}

TEST(MultiplexTest, ADescriptorAddedWhileEpollIsParkedWakesIt) {
  PosixWorld world;
  Pipe pipe;
  const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  world.Go([&] {
    epoll_event event;
    EXPECT_EQ(epoll_wait(epoll_fd, &event, 1, -1), 1);
  });
  world.Go([&] {
    pipe.Write();
    epoll_event event{};
    event.events = EPOLLIN;
    EXPECT_EQ(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pipe.reader(), &event), 0);
  });
  world.RunAll();
  close(epoll_fd);
}

TEST(MultiplexTest, CloseOfTheEpollDescriptorEndsTheWait) {
  PosixWorld world;
  const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  world.Go([&] {
    epoll_event event;
    EXPECT_EQ(epoll_wait(epoll_fd, &event, 1, -1), -1);
    EXPECT_EQ(errno, EBADF);
  });
  world.Go([&] { close(epoll_fd); });
  world.RunAll();
}

// ---- signal masks --------------------------------------------------------------------------------------------------

TEST(MultiplexTest, AMaskLetsAPendingSignalThrough) {
#if GREENRING_TSAN
  GTEST_SKIP() << "TSan runs handlers when it sees fit";
#endif
  static int handled;
  handled = 0;
  struct sigaction action {
  }, before;
  action.sa_handler = [](int) { ++handled; };
  sigaction(SIGUSR1, &action, &before);
  sigset_t blocked, open, saved;
  sigemptyset(&open);
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &blocked, &saved);
  PosixWorld world;
  Pipe pipe;
  world.Run([&] {
    pollfd polled = {pipe.reader(), POLLIN, 0};
    raise(SIGUSR1);
    EXPECT_EQ(ppoll(&polled, 1, nullptr, &open), -1);
    EXPECT_EQ(errno, EINTR);
    EXPECT_EQ(handled, 1);
    raise(SIGUSR1);
    EXPECT_EQ(pselect(0, nullptr, nullptr, nullptr, nullptr, &open), -1);
    EXPECT_EQ(errno, EINTR);
    EXPECT_EQ(handled, 2);
  });
  pthread_sigmask(SIG_SETMASK, &saved, nullptr);
  sigaction(SIGUSR1, &before, nullptr);
}

}  // namespace
}  // namespace greenring::posix
