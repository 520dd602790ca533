// Waiting for children.
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "gtest/gtest.h"
#include "ioloop/posix/posix_world.h"

namespace greenring::posix {
namespace {

class ProcessesTest : public ::testing::Test {
 protected:
  // A child that ends, with `code`, when Release is called.
  pid_t Start(int code = 7) {
    EXPECT_EQ(pipe(release_), 0);
    const pid_t child = fork();
    if (child == 0) {
      ::close(release_[1]);
      char byte;
      _exit(::read(release_[0], &byte, 1) == 0 ? code : 99);
    }
    ::close(release_[0]);
    return child;
  }
  void Release() { ::close(release_[1]); }

  // `wait` must park: the child ends only when another green thread has run.
  template <typename Wait>
  void Parks(const Wait& wait) {
    bool waited = false;
    world_.Go([&] {
      wait();
      waited = true;
    });
    world_.Go([&] {
      EXPECT_FALSE(waited);
      Release();
    });
    world_.RunAll();
    EXPECT_TRUE(waited);
  }

  PosixWorld world_;
  int release_[2];
};

TEST_F(ProcessesTest, WaitpidOfAChildParks) {
  const pid_t child = Start();
  int status = 0;
  Parks([&] {
    errno = 77;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(errno, 77);
  });
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST_F(ProcessesTest, WaitingForAnyChildParks) {
  int status = 0;
  pid_t child = Start(1);
  Parks([&] { EXPECT_EQ(wait(&status), child); });
  EXPECT_EQ(WEXITSTATUS(status), 1);
  child = Start(2);
  Parks([&] { EXPECT_EQ(waitpid(-1, &status, 0), child); });
  EXPECT_EQ(WEXITSTATUS(status), 2);
  child = Start(3);
  Parks([&] { EXPECT_EQ(waitpid(0, &status, 0), child); });
  EXPECT_EQ(WEXITSTATUS(status), 3);
}

TEST_F(ProcessesTest, Wait3AndWait4TellWhatWasUsed) {
  rusage usage{};
  int status = 0;
  pid_t child = Start();
  Parks([&] { EXPECT_EQ(wait4(child, &status, 0, &usage), child); });
  EXPECT_GT(usage.ru_maxrss, 0);
  usage = {};
  child = Start();
  Parks([&] { EXPECT_EQ(wait3(&status, 0, &usage), child); });
  EXPECT_GT(usage.ru_maxrss, 0);
}

TEST_F(ProcessesTest, AStoppedChildIsSeenByWhoAsksForIt) {
  const pid_t child = Start();
  int status = 0;
  world_.Go([&] {
    EXPECT_EQ(waitpid(child, &status, WUNTRACED), child);
    EXPECT_TRUE(WIFSTOPPED(status));
    EXPECT_EQ(kill(child, SIGCONT), 0);
    EXPECT_EQ(waitpid(child, &status, WCONTINUED), child);
    EXPECT_TRUE(WIFCONTINUED(status));
    Release();
    EXPECT_EQ(waitpid(child, &status, 0), child);
  });
  world_.Go([&] { EXPECT_EQ(kill(child, SIGSTOP), 0); });
  world_.RunAll();
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST_F(ProcessesTest, WaitidTellsAndCanLeaveTheChild) {
  const pid_t child = Start();
  siginfo_t info{};
  Parks([&] { EXPECT_EQ(waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0); });
  EXPECT_EQ(info.si_pid, child);
  EXPECT_EQ(info.si_code, CLD_EXITED);
  EXPECT_EQ(info.si_status, 7);
  world_.Run([&] {
    EXPECT_EQ(waitid(P_ALL, 0, nullptr, WEXITED), 0);
    EXPECT_EQ(waitid(P_PID, static_cast<id_t>(child), &info, WEXITED), -1);
    EXPECT_EQ(errno, ECHILD);
  });
}

TEST_F(ProcessesTest, WaitidOfAPidfdParks) {
  const pid_t child = Start();
  const int pidfd = static_cast<int>(syscall(434, child, 0));
  ASSERT_GE(pidfd, 0);
  siginfo_t info{};
  Parks([&] { EXPECT_EQ(waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED), 0); });
  EXPECT_EQ(info.si_pid, child);
  close(pidfd);
}

TEST_F(ProcessesTest, WithoutAChildItFailsAtOnce) {
  world_.Run([&] {
    EXPECT_EQ(wait(nullptr), -1);
    EXPECT_EQ(errno, ECHILD);
    EXPECT_EQ(waitpid(getpid(), nullptr, 0), -1);
    EXPECT_EQ(errno, ECHILD);
    EXPECT_EQ(waitpid(-1, nullptr, 0x12345678), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(waitid(P_ALL, 0, nullptr, 0), -1);
    EXPECT_EQ(errno, EINVAL);
  });
}

TEST_F(ProcessesTest, WnohangNeverParks) {
  const pid_t child = Start();
  world_.Run([&] {
    const uint64_t turns = world_.scheduler()->stats().turns;
    EXPECT_EQ(waitpid(child, nullptr, WNOHANG), 0);
    siginfo_t info;
    info.si_pid = 77;
    EXPECT_EQ(waitid(P_ALL, 0, &info, WEXITED | WNOHANG), 0);
    EXPECT_EQ(info.si_pid, 0);
    EXPECT_EQ(world_.scheduler()->stats().turns, turns);
    Release();
    EXPECT_EQ(waitpid(child, nullptr, 0), child);
  });
}

TEST_F(ProcessesTest, CancelEndsTheWaitAndLeavesTheChild) {
  const pid_t child = Start();
  int one = 0, any = 0;
  green::GreenThread* const first = world_.Go([&] {
    EXPECT_EQ(waitpid(child, nullptr, 0), -1);
    one = errno;
  });
  green::GreenThread* const second = world_.Go([&] {
    EXPECT_EQ(wait(nullptr), -1);
    any = errno;
  });
  world_.Go([&] {
    world_.scheduler()->Cancel(first);
    world_.scheduler()->Cancel(second);
  });
  world_.RunAll();
  EXPECT_EQ(one, ECANCELED);
  EXPECT_EQ(any, ECANCELED);
  Release();
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
}

TEST_F(ProcessesTest, OneOfTwoWhoWaitForAChildGetsIt) {
  const pid_t child = Start();
  int found = 0, missed = 0;
  for (int i = 0; i < 2; ++i) {
    world_.Go([&] {
      if (waitpid(child, nullptr, 0) == child)
        ++found;
      else if (errno == ECHILD)
        ++missed;
    });
  }
  world_.Go([&] { Release(); });
  world_.RunAll();
  EXPECT_EQ(found, 1);
  EXPECT_EQ(missed, 1);
}

TEST_F(ProcessesTest, OSThreadsBlockThemselves) {
  const pid_t child = Start();
  std::thread waits([&] { EXPECT_EQ(waitpid(child, nullptr, 0), child); });
  Release();
  waits.join();
}

}  // namespace
}  // namespace greenring::posix
