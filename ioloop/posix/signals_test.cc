#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "green/parking_lot.h"
#include "green/scheduler.h"
#include "gtest/gtest.h"
#include "ioloop/posix/blocking_call.h"
#include "ioloop/posix/posix_world.h"

namespace greenring::posix {
namespace {

constexpr green::SpawnOptions kMain{.is_os_thread = true};

std::atomic<int> runs;
std::atomic<int> last_signal;
std::atomic<int> last_code;
std::atomic<bool> parks_in_handler;
std::atomic<int> woken_by_handler;

void Count(int signal) {
  ++runs;
  last_signal = signal;
  parks_in_handler = ParkingLoop() != nullptr;
  errno = E2BIG;
}

void CountWithInfo(int signal, siginfo_t* info, void* context) {
  Count(signal);
  last_code = context != nullptr ? info->si_code : -1;
}

struct sigaction ActionOf(sighandler_t handler, int flags) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  return action;
}

class SignalsTest : public ::testing::Test {
 protected:
  SignalsTest() {
    runs = last_signal = last_code = woken_by_handler = 0;
    parks_in_handler = true;
    sigaction(SIGUSR1, nullptr, &before_usr1_);
    sigaction(SIGUSR2, nullptr, &before_usr2_);
    EXPECT_EQ(pipe2(pipe_, O_CLOEXEC), 0);
  }
  ~SignalsTest() override {
    sigaction(SIGUSR1, &before_usr1_, nullptr);
    sigaction(SIGUSR2, &before_usr2_, nullptr);
    close(pipe_[0]);
    close(pipe_[1]);
    for (std::thread& sender : senders_) sender.join();
  }

  static void Install(int signal, sighandler_t handler, int flags) {
    const struct sigaction action = ActionOf(handler, flags);
    ASSERT_EQ(sigaction(signal, &action, nullptr), 0);
  }

  // To this process, one after the other; from another OS thread, when the calling green thread has parked.
  void SendLater(std::vector<int> signals) {
    Scheduler()->Spawn([this, signals = std::move(signals)] {
      senders_.emplace_back([signals] {
        for (int signal : signals) {
          std::this_thread::sleep_for(std::chrono::milliseconds(10));  // the loop sleeps in the ring, or soon will
          kill(getpid(), signal);
        }
      });
    });
  }
  static green::Scheduler* Scheduler() { return green::Scheduler::Current(); }

  // A read from an empty pipe, and a sleep: what a signal does to them depends on SA_RESTART.
  int32_t AwaitPipe(int64_t timeout_ns) {
    BlockingCall call(pipe_[0], Clock::Monotonic()->NowNs() + timeout_ns);
    return call.AwaitEvents(POLLIN);
  }
  static int32_t SleepFor(int64_t timeout_ns) {
    return BlockingCall(-1, Clock::Monotonic()->NowNs() + timeout_ns, Restart::kNever).Sleep();
  }

  PosixWorld world_;
  std::vector<std::thread> senders_;
  int pipe_[2];
  struct sigaction before_usr1_;
  struct sigaction before_usr2_;
};

constexpr int64_t kLongNs = 60 * kNanosecondsPerSecond;
constexpr int64_t kShortNs = 100 * kNanosecondsPerMillisecond;

TEST_F(SignalsTest, AHandlerInterruptsTheMainGreenThread) {
  Install(SIGUSR1, &Count, 0);
  world_.Go(
      [&] {
        SendLater({SIGUSR1});
        EXPECT_EQ(AwaitPipe(kLongNs), -EINTR);
        EXPECT_EQ(runs, 1);
        EXPECT_EQ(last_signal, SIGUSR1);
        SendLater({SIGUSR1});
        runs = 0;
        EXPECT_EQ(SleepFor(kLongNs), -EINTR);
      },
      kMain);
  world_.RunAll();
}

TEST_F(SignalsTest, AHandlerWithRestartInterruptsOnlyWhatIsNeverRestarted) {
  Install(SIGUSR1, &Count, SA_RESTART);
  world_.Go(
      [&] {
        SendLater({SIGUSR1});
        EXPECT_EQ(AwaitPipe(kShortNs), -ETIMEDOUT);
        EXPECT_EQ(runs, 1);
        runs = 0;
        SendLater({SIGUSR1});
        EXPECT_EQ(SleepFor(kLongNs), -EINTR);
      },
      kMain);
  world_.RunAll();
}

TEST_F(SignalsTest, OtherGreenThreadsAreNotInterrupted) {
  Install(SIGUSR1, &Count, 0);
  int32_t others = 0;
  world_.Go([&] { others = SleepFor(kShortNs); });
  world_.Go(
      [&] {
        SendLater({SIGUSR1});
        EXPECT_EQ(SleepFor(kLongNs), -EINTR);
      },
      kMain);
  world_.RunAll();
  EXPECT_EQ(others, 0);
}

TEST_F(SignalsTest, AHandlerRunsOnceForEachSignalKeepsErrnoAndDoesNotPark) {
  Install(SIGUSR1, &Count, SA_RESTART);
  world_.Run([&] {
    errno = ENOENT;
    raise(SIGUSR1);
    EXPECT_EQ(errno, ENOENT);
    EXPECT_EQ(runs, 1);
    EXPECT_FALSE(parks_in_handler);
    EXPECT_EQ(ParkingLoop(), world_.loop());
  });
  raise(SIGUSR1);
  EXPECT_EQ(runs, 2);
}

TEST_F(SignalsTest, AnInformedHandlerIsInformed) {
  struct sigaction action = {};
  action.sa_sigaction = &CountWithInfo;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  kill(getpid(), SIGUSR1);
  while (runs == 0) sched_yield();
  EXPECT_EQ(last_code, SI_USER);
}

TEST_F(SignalsTest, TheProgramSeesItsOwnHandlersOnly) {
  struct sigaction before;
  Install(SIGUSR1, &Count, SA_RESTART | SA_NODEFER);
  struct sigaction informed = {};
  informed.sa_sigaction = &CountWithInfo;
  informed.sa_flags = SA_SIGINFO;
  sigaddset(&informed.sa_mask, SIGHUP);
  ASSERT_EQ(sigaction(SIGUSR1, &informed, &before), 0);
  EXPECT_EQ(before.sa_handler, &Count);
  EXPECT_EQ(before.sa_flags & (SA_SIGINFO | SA_RESTART | SA_NODEFER), SA_RESTART | SA_NODEFER);
  ASSERT_EQ(sigaction(SIGUSR1, nullptr, &before), 0);
  EXPECT_EQ(before.sa_sigaction, &CountWithInfo);
  EXPECT_EQ(before.sa_flags & (SA_SIGINFO | SA_RESTART | SA_NODEFER), SA_SIGINFO);
  EXPECT_EQ(sigismember(&before.sa_mask, SIGHUP), 1);
  EXPECT_EQ(reinterpret_cast<void*>(signal(SIGUSR1, SIG_IGN)), reinterpret_cast<void*>(&CountWithInfo));
  raise(SIGUSR1);
  EXPECT_EQ(signal(SIGUSR1, &Count), SIG_IGN);
  EXPECT_EQ(signal(SIGUSR1, SIG_DFL), &Count);
  ASSERT_EQ(sigaction(SIGUSR1, nullptr, &before), 0);
  EXPECT_EQ(before.sa_handler, SIG_DFL);
  EXPECT_EQ(runs, 0);
}

TEST_F(SignalsTest, WhatCannotBeInstalledIsRefused) {
  const struct sigaction action = ActionOf(&Count, 0);
  for (int signal : {0, -1, NSIG, SIGKILL, SIGSTOP}) {
    errno = 0;
    EXPECT_EQ(sigaction(signal, &action, nullptr), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(::signal(signal, &Count), SIG_ERR);
  }
  errno = 0;
  EXPECT_EQ(signal(SIGUSR1, SIG_ERR), SIG_ERR);
  EXPECT_EQ(errno, EINVAL);
}

TEST_F(SignalsTest, AHandlerForOneTimeRunsOneTime) {
  Install(SIGUSR1, &Count, static_cast<int>(SA_RESETHAND));
  raise(SIGUSR1);
  EXPECT_EQ(runs, 1);
  struct sigaction now;
  ASSERT_EQ(sigaction(SIGUSR1, nullptr, &now), 0);
  EXPECT_EQ(now.sa_handler, SIG_DFL);
}

TEST_F(SignalsTest, HandlersKeepWorkingInTheChildOfFork) {
  Install(SIGUSR1, &Count, 0);
  int status = -1;
  world_.Go(
      [&] {
        const pid_t child = fork();
        if (child == 0) {
          raise(SIGUSR1);
          _exit(runs == 1 && ParkingLoop() == nullptr ? 7 : 8);
        }
        waitpid(child, &status, 0);
      },
      kMain);
  world_.RunAll();
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST_F(SignalsTest, TheChildOfAHandlersForkDoesNotPark) {
  static std::atomic<pid_t> child;
  child = -1;
  Install(
      SIGUSR1, [](int) { child = fork(); }, 0);
  int status = -1;
  world_.Run([&] {
    raise(SIGUSR1);
    if (child == 0) _exit(ParkingLoop() == nullptr ? 7 : 8);
    waitpid(child, &status, 0);
  });
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST_F(SignalsTest, AHandlerWakesWhoWaitsInTheParkingLot) {
  Install(
      SIGUSR1,
      [](int) {
        woken_by_handler = 1;
        green::ParkingLot::WakeOne(&woken_by_handler);
        ++runs;
      },
      SA_RESTART);
  green::ParkResult result = green::ParkResult::kTimedOut;
  world_.Run([&] {
    green::ParkingLot::Waiter waiter(&woken_by_handler);
    SendLater({SIGUSR1});
    do {
      result = waiter.Wait(Clock::Monotonic()->NowNs() + kLongNs);
    } while (woken_by_handler == 0 && result == green::ParkResult::kUnparked);
  });
  EXPECT_EQ(result, green::ParkResult::kUnparked);
}

TEST_F(SignalsTest, PauseParksUntilAHandlerHasRun) {
  Install(SIGUSR1, &Count, SA_RESTART);
  for (const green::SpawnOptions& who : {green::SpawnOptions{}, kMain}) {
    runs = 0;
    bool others_ran = false;
    int result = 0;
    int error = 0;
    PosixWorld world;
    world.Go(
        [&] {
          SendLater({SIGUSR1});
          result = pause();
          error = errno;
          EXPECT_TRUE(others_ran);
          EXPECT_EQ(runs, 1);
        },
        who);
    world.Go([&] { others_ran = true; });
    world.RunAll();
    EXPECT_EQ(result, -1);
    EXPECT_EQ(error, EINTR);
  }
}

TEST_F(SignalsTest, APauseCanBeCancelled) {
  green::GreenThread* pauses = world_.Go([] {
    EXPECT_EQ(pause(), -1);
    EXPECT_EQ(errno, ECANCELED);
  });
  world_.Go([&] { world_.scheduler()->Cancel(pauses); });
  world_.RunAll();
}

// ---- sigwait ------------------------------------------------------------------------------------------------------

class SigwaitTest : public SignalsTest {
 protected:
  SigwaitTest() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set_, &mask_before_);
  }
  ~SigwaitTest() override { pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr); }

  sigset_t set_;
  sigset_t mask_before_;
};

TEST_F(SigwaitTest, APendingSignalIsTakenAtOnce) {
  world_.Run([&] {
    kill(getpid(), SIGUSR2);
    int signal = 0;
    EXPECT_EQ(sigwait(&set_, &signal), 0);
    EXPECT_EQ(signal, SIGUSR2);
    sigset_t pending;
    sigpending(&pending);
    EXPECT_EQ(sigismember(&pending, SIGUSR2), 0);
  });
}

TEST_F(SigwaitTest, WaitingForASignalParks) {
  bool others_ran = false;
  world_.Go([&] {
    siginfo_t info = {};
    EXPECT_EQ(sigwaitinfo(&set_, &info), SIGUSR2);
    EXPECT_EQ(info.si_signo, SIGUSR2);
    EXPECT_EQ(info.si_pid, getpid());
    int signal = 0;
    EXPECT_EQ(sigwait(&set_, &signal), 0);
    EXPECT_EQ(signal, SIGUSR2);
    EXPECT_TRUE(others_ran);
  });
  world_.Go([&] {
    others_ran = true;
    kill(getpid(), SIGUSR2);  // to the process
    Scheduler()->Park(Clock::Monotonic()->NowNs() + kShortNs);
    pthread_kill(pthread_self(), SIGUSR2);  // to this OS thread
  });
  world_.RunAll();
}

TEST_F(SigwaitTest, AWaitForASignalEndsAtItsTimeout) {
  world_.Run([&] {
    const timespec timeout = {0, 20 * kNanosecondsPerMillisecond};
    const int64_t start_ns = Clock::Monotonic()->NowNs();
    EXPECT_EQ(sigtimedwait(&set_, nullptr, &timeout), -1);
    EXPECT_EQ(errno, EAGAIN);
    EXPECT_GE(Clock::Monotonic()->NowNs() - start_ns, timeout.tv_nsec);
    const timespec at_once = {0, 0};
    EXPECT_EQ(sigtimedwait(&set_, nullptr, &at_once), -1);
    EXPECT_EQ(errno, EAGAIN);
    const timespec no_time = {0, -1};
    EXPECT_EQ(sigtimedwait(&set_, nullptr, &no_time), -1);
    EXPECT_EQ(errno, EINVAL);
  });
}

TEST_F(SigwaitTest, AHandlerOfAnotherSignalInterruptsSigwaitinfoButNotSigwait) {
  Install(SIGUSR1, &Count, SA_RESTART);
  world_.Go(
      [&] {
        SendLater({SIGUSR1});
        EXPECT_EQ(sigwaitinfo(&set_, nullptr), -1);
        EXPECT_EQ(errno, EINTR);
        runs = 0;
        int signal = 0;
        SendLater({SIGUSR1, SIGUSR2});
        EXPECT_EQ(sigwait(&set_, &signal), 0);
        EXPECT_EQ(signal, SIGUSR2);
        EXPECT_EQ(runs, 1);
      },
      kMain);
  world_.RunAll();
}

TEST_F(SigwaitTest, AWaitForASignalCanBeCancelled) {
  green::GreenThread* waits = world_.Go([&] {
    EXPECT_EQ(sigwaitinfo(&set_, nullptr), -1);
    EXPECT_EQ(errno, ECANCELED);
    int signal;
    EXPECT_EQ(sigwait(&set_, &signal), ECANCELED);
  });
  world_.Go([&] { world_.scheduler()->Cancel(waits); });
  world_.RunAll();
}

TEST_F(SigwaitTest, AnOsThreadWaitsInTheKernel) {
  int signal = 0;
  std::thread waits([&] { EXPECT_EQ(sigwait(&set_, &signal), 0); });
  kill(getpid(), SIGUSR2);
  waits.join();
  EXPECT_EQ(signal, SIGUSR2);
}

}  // namespace
}  // namespace greenring::posix
