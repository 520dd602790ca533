// What calls answer when a host has its own answers to cancellations.
#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <functional>
#include <vector>

#include "base/clock.h"
#include "green/scheduler.h"
#include "gtest/gtest.h"
#include "ioloop/posix/blocking_call.h"
#include "ioloop/posix/posix_world.h"

namespace greenring::posix {
namespace {

// What the host was asked, and what it answers, in turn.
std::vector<bool> asked;
std::vector<int> answers;
bool unheeded = false;

class CancelAnswerTest : public ::testing::Test {
 protected:
  CancelAnswerTest() {
    asked.clear();
    answers.clear();
    unheeded = false;
    SetCancelAnswer({[](bool may_fail) {
                       asked.push_back(may_fail);
                       return asked.size() <= answers.size() ? answers[asked.size() - 1] : (may_fail ? ECANCELED : 0);
                     },
                     [] { return unheeded; }});
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets_), 0);
    EXPECT_EQ(sem_init(&semaphore_, 0, 0), 0);
  }
  ~CancelAnswerTest() override {
    SetCancelAnswer({[](bool may_fail) { return may_fail ? ECANCELED : 0; }, [] { return false; }});
    close(sockets_[0]);
    close(sockets_[1]);
    sem_destroy(&semaphore_);
  }

  // Runs `call` on a green thread that is cancelled when it waits; `later` when it waits on or has ended.
  void Cancelled(
      const std::function<void()>& call, const std::function<void()>& later = [] {}) {
    green::GreenThread* const thread = world_.Go([&] {
      call();
      world_.scheduler()->ClearCancel();
      ended_ = true;
    });
    world_.Go([&, thread] {
      world_.scheduler()->Park(Clock::Monotonic()->NowNs() + kNanosecondsPerMillisecond);
      if (!ended_) world_.scheduler()->Cancel(thread);
      world_.scheduler()->Park(Clock::Monotonic()->NowNs() + 5 * kNanosecondsPerMillisecond);
      later();
    });
    world_.RunAll();
  }

  int sockets_[2];
  sem_t semaphore_;
  PosixWorld world_;
  bool ended_ = false;
};

constexpr timespec kLong = {10, 0};

TEST_F(CancelAnswerTest, CallsEndWithTheAnswer) {
  answers = {EINTR, ECANCELED, EINTR, EINTR, EINTR, EINTR};
  Cancelled([&] {
    char byte;
    EXPECT_EQ(recv(sockets_[0], &byte, 1, 0), -1);
    EXPECT_EQ(errno, EINTR);
    EXPECT_EQ(recv(sockets_[0], &byte, 1, 0), -1);
    EXPECT_EQ(errno, ECANCELED);
    EXPECT_EQ(nanosleep(&kLong, nullptr), -1);
    EXPECT_EQ(errno, EINTR);
    EXPECT_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &kLong, nullptr), EINTR);
    pollfd polled = {sockets_[0], POLLIN, 0};
    EXPECT_EQ(poll(&polled, 1, -1), -1);
    EXPECT_EQ(errno, EINTR);
    EXPECT_EQ(pause(), -1);
    EXPECT_EQ(errno, EINTR);
  });
  EXPECT_EQ(asked, std::vector<bool>(6, true)) << "once a call";
}

TEST_F(CancelAnswerTest, AReadThatTheRingWouldRepeatIsInterruptedToo) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  answers = {EINTR};
  Cancelled([&] {
    char byte;
    EXPECT_EQ(read(ends[0], &byte, 1), -1);
    EXPECT_EQ(errno, EINTR);
  });
  EXPECT_EQ(asked.size(), 1u);
  close(ends[0]);
  close(ends[1]);
}

TEST_F(CancelAnswerTest, ASemaphoreIsInterruptedButNeverFails) {
  answers = {EINTR};
  Cancelled([&] {
    EXPECT_EQ(sem_wait(&semaphore_), -1);
    EXPECT_EQ(errno, EINTR);
  });
  EXPECT_EQ(asked, std::vector<bool>{false});
}

TEST_F(CancelAnswerTest, ASemaphoreWaitsOnIfThatIsTheAnswer) {
  bool posted = false;
  Cancelled(
      [&] {
        EXPECT_EQ(sem_wait(&semaphore_), 0);
        EXPECT_TRUE(posted);
      },
      [&] {
        posted = true;
        sem_post(&semaphore_);
      });
  EXPECT_EQ(asked, std::vector<bool>{false});
}

TEST_F(CancelAnswerTest, ACallerWhoDoesNotHeedEintrGetsTheSemaphore) {
  answers = {EINTR};
  bool posted = false;
  Cancelled(
      [&] {
        EXPECT_EQ(sem_wait(&semaphore_), -1);
        unheeded = true;
        EXPECT_EQ(sem_wait(&semaphore_), 0);
        EXPECT_TRUE(posted);
      },
      [&] {
        posted = true;
        sem_post(&semaphore_);
      });
  EXPECT_EQ(asked, std::vector<bool>{false}) << "the second wait does not ask";
}

TEST_F(CancelAnswerTest, ASemaphoreThatIsGivenInTheSameTurnIsTaken) {
  answers = {EINTR};
  green::GreenThread* const thread = world_.Go([&] {
    EXPECT_EQ(sem_wait(&semaphore_), 0);
    world_.scheduler()->ClearCancel();
  });
  world_.Go([&, thread] {
    world_.scheduler()->Cancel(thread);
    sem_post(&semaphore_);
  });
  world_.RunAll();
  EXPECT_NE(sem_trywait(&semaphore_), 0) << "it was given twice";
}

TEST_F(CancelAnswerTest, AnEventLoopIsInterruptedOnceAndWaitsOnAfterwards) {
  answers = {EINTR, 0};
  const int epoll = epoll_create1(0);
  epoll_event event{};
  event.events = EPOLLIN;
  ASSERT_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, sockets_[0], &event), 0);
  Cancelled(
      [&] {
        EXPECT_EQ(epoll_wait(epoll, &event, 1, -1), -1);
        EXPECT_EQ(errno, EINTR);
        EXPECT_EQ(epoll_wait(epoll, &event, 1, -1), 1);
      },
      [&] { EXPECT_EQ(write(sockets_[1], "x", 1), 1); });
  EXPECT_EQ(asked, (std::vector<bool>{false, false}));
  close(epoll);
}

}  // namespace
}  // namespace greenring::posix
