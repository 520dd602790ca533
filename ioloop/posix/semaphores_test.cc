#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>

#include "gtest/gtest.h"
#include "ioloop/posix/blocking_call.h"
#include "ioloop/posix/lock_test_util.h"
#include "ioloop/posix/posix_world.h"

namespace greenring::posix {
namespace {

class SemaphoresTest : public ::testing::Test {
 protected:
  SemaphoresTest() { sem_init(&semaphore_, 0, 0); }
  ~SemaphoresTest() override { sem_destroy(&semaphore_); }

  PosixWorld world_;
  sem_t semaphore_;
};

TEST_F(SemaphoresTest, WaitTakesAFreePermitAtOnce) {
  sem_post(&semaphore_);
  uint64_t switches = 1;
  world_.Run([&] {
    const uint64_t before = world_.scheduler()->stats().switches;
    errno = 77;
    EXPECT_EQ(sem_wait(&semaphore_), 0);
    EXPECT_EQ(errno, 77);
    switches = world_.scheduler()->stats().switches - before;
  });
  EXPECT_EQ(switches, 0u);
}

TEST_F(SemaphoresTest, WaitParksUntilAPost) {
  bool posted = false;
  world_.Go([&] {
    errno = 77;
    EXPECT_EQ(sem_wait(&semaphore_), 0);
    EXPECT_EQ(errno, 77);
    EXPECT_TRUE(posted);
  });
  world_.Go([&] {
    posted = true;
    EXPECT_EQ(sem_post(&semaphore_), 0);
  });
  world_.RunAll();
  EXPECT_EQ(sem_trywait(&semaphore_), -1);
}

TEST_F(SemaphoresTest, EveryPostLetsOneIn) {
  int inside = 0;
  for (int i = 0; i < 3; ++i) {
    world_.Go([&] {
      sem_wait(&semaphore_);
      ++inside;
    });
  }
  world_.Go([&] {
    for (int posts = 1; posts <= 3; ++posts) {
      sem_post(&semaphore_);
      world_.scheduler()->Yield();
      EXPECT_EQ(inside, posts);
    }
  });
  world_.RunAll();
}

TEST_F(SemaphoresTest, WhoReleasesAndTakesAgainAtOnceKeepsNobodyOut) {
  sem_post(&semaphore_);
  bool had_it = false;
  int rounds = 0;
  world_.Go([&] {
    while (!had_it && rounds < 1000) {
      sem_wait(&semaphore_);
      ++rounds;
      sched_yield();  // while it is held
      sem_post(&semaphore_);
    }
  });
  world_.Go([&] {
    sem_wait(&semaphore_);
    had_it = true;
    sem_post(&semaphore_);
  });
  world_.RunAll();
  EXPECT_EQ(rounds, 2);  // it waits for its turn in the second one
  EXPECT_EQ(sem_trywait(&semaphore_), 0);
  EXPECT_EQ(sem_trywait(&semaphore_), -1);
}

TEST_F(SemaphoresTest, NoPermitIsLostWhenAPostMeetsADeadline) {
  constexpr int kRounds = 2000;
  std::atomic<int> posted{0};
  std::atomic<bool> stop{false};
  std::atomic<int> taken{0};
  std::thread poster([&] {
    while (!stop) {
      if (posted - taken < 2) {
        ++posted;
        sem_post(&semaphore_);
      }
      std::this_thread::yield();
    }
  });
  for (int green = 0; green < 2; ++green) {
    world_.Go([&] {
      for (int i = 0; i < kRounds; ++i) {
        timespec instant;
        clock_gettime(CLOCK_MONOTONIC, &instant);
        instant.tv_nsec += i % 50 * 1000;
        if (instant.tv_nsec >= 1'000'000'000) instant.tv_nsec = 0, ++instant.tv_sec;
        if (sem_clockwait(&semaphore_, CLOCK_MONOTONIC, &instant) == 0) ++taken;
      }
    });
  }
  world_.RunAll();
  stop = true;
  poster.join();
  while (sem_trywait(&semaphore_) == 0) ++taken;
  EXPECT_EQ(taken, posted);
}

TEST_F(SemaphoresTest, AnOsThreadLetsAGreenThreadIn) {
  std::thread thread;
  world_.Run([&] {
    thread = std::thread([&] { sem_post(&semaphore_); });
    EXPECT_EQ(sem_wait(&semaphore_), 0);
  });
  thread.join();
}

TEST_F(SemaphoresTest, AGreenThreadLetsAnOsThreadIn) {
  std::thread thread([&] { EXPECT_EQ(sem_wait(&semaphore_), 0); });
  world_.Run([&] { sem_post(&semaphore_); });
  thread.join();
}

TEST_F(SemaphoresTest, TimedWaitEndsAtItsInstantOfTheRealTimeClock) {
  world_.Run([&] {
    const timespec deadline = InMs(CLOCK_REALTIME, 20);
    EXPECT_EQ(sem_timedwait(&semaphore_, &deadline), -1);
    EXPECT_EQ(errno, ETIMEDOUT);
    EXPECT_TRUE(HasPassed(CLOCK_REALTIME, deadline));
  });
}

TEST_F(SemaphoresTest, ClockWaitEndsAtItsInstantOfEitherClock) {
  world_.Run([&] {
    for (clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC}) {
      const timespec deadline = InMs(clock, 20);
      EXPECT_EQ(sem_clockwait(&semaphore_, clock, &deadline), -1);
      EXPECT_EQ(errno, ETIMEDOUT);
      EXPECT_TRUE(HasPassed(clock, deadline));
    }
    const timespec deadline = InMs(CLOCK_MONOTONIC, 20);
    EXPECT_EQ(sem_clockwait(&semaphore_, CLOCK_PROCESS_CPUTIME_ID, &deadline), -1);
    EXPECT_EQ(errno, EINVAL);
  });
}

TEST_F(SemaphoresTest, AnInstantOfThePastEndsTheWaitButNotATry) {
  world_.Run([&] {
    for (const timespec past : {timespec{0, 0}, timespec{-5, 0}}) {
      EXPECT_EQ(sem_timedwait(&semaphore_, &past), -1);
      EXPECT_EQ(errno, ETIMEDOUT);
      sem_post(&semaphore_);
      EXPECT_EQ(sem_timedwait(&semaphore_, &past), 0);
    }
  });
}

TEST_F(SemaphoresTest, AnInstantThatIsNoneIsRefused) {
  world_.Run([&] {
    for (const timespec invalid : {timespec{0, -1}, timespec{0, kNanosecondsPerSecond}}) {
      EXPECT_EQ(sem_timedwait(&semaphore_, &invalid), -1);
      EXPECT_EQ(errno, EINVAL);
    }
  });
}

TEST_F(SemaphoresTest, CancelDoesNotEndAWait) {
  green::GreenThread* waiting = world_.Go([&] { EXPECT_EQ(sem_wait(&semaphore_), 0); });
  world_.Go([&] {
    world_.scheduler()->Cancel(waiting);
    SleepMs(5);
    sem_post(&semaphore_);
  });
  world_.RunAll();
}

TEST_F(SemaphoresTest, ASignalHandlerEndsTheWaitOfTheMainGreenThreadOnly) {
  bool main_ended = false;
  world_.Go(
      [&] {
        EXPECT_EQ(sem_wait(&semaphore_), -1);
        EXPECT_EQ(errno, EINTR);
        main_ended = true;
        sem_post(&semaphore_);
      },
      {.is_os_thread = true});
  world_.Go([&] {
    EXPECT_EQ(sem_wait(&semaphore_), 0);
    EXPECT_TRUE(main_ended);
  });
  world_.Go([&] { InterruptMainThread(Restart::kNever); });
  world_.RunAll();
}

TEST_F(SemaphoresTest, AHandlerThatRestartsCallsDoesNotEndAWait) {
  world_.Go([&] { EXPECT_EQ(sem_wait(&semaphore_), 0); }, {.is_os_thread = true});
  world_.Go([&] {
    InterruptMainThread(Restart::kAsHandlerSays);
    SleepMs(5);
    sem_post(&semaphore_);
  });
  world_.RunAll();
}

// What IsShared of semaphores.cc reads.
TEST_F(SemaphoresTest, TheCLibraryKeepsBehindTheCountWhoShares) {
  const auto word = [](sem_t* semaphore) { return reinterpret_cast<int*>(semaphore)[2]; };
  sem_t shared;
  sem_init(&shared, 1, 0);
  EXPECT_EQ(word(&semaphore_), 0);
  EXPECT_NE(word(&shared), 0);
  const std::string name = "/greenring_semaphores_test_" + std::to_string(getpid());
  sem_t* named = sem_open(name.c_str(), O_CREAT | O_EXCL, 0600, 0);
  if (named == SEM_FAILED) GTEST_SKIP() << "sem_open: errno " << errno;
  EXPECT_NE(word(named), 0);
  sem_close(named);
  sem_unlink(name.c_str());
}

TEST_F(SemaphoresTest, AnotherProcessLetsAGreenThreadIn) {
  void* memory = mmap(nullptr, sizeof(sem_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  sem_t* shared = static_cast<sem_t*>(memory);
  sem_init(shared, 1, 0);
  pid_t child = -1;
  bool beside = false;
  world_.Go([&] {
    EXPECT_EQ(sem_wait(shared), 0);
    EXPECT_TRUE(beside);
  });
  world_.Go([&] {
    beside = true;
    child = fork();
    if (child == 0) _exit(sem_post(shared));
  });
  world_.RunAll();
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  munmap(memory, sizeof(sem_t));
}

TEST_F(SemaphoresTest, OnAnOsThreadTheyAreTheCLibrarys) {
  sem_post(&semaphore_);
  EXPECT_EQ(sem_wait(&semaphore_), 0);
  const timespec deadline = InMs(CLOCK_REALTIME, 10);
  EXPECT_EQ(sem_timedwait(&semaphore_, &deadline), -1);
  EXPECT_EQ(errno, ETIMEDOUT);
  EXPECT_TRUE(HasPassed(CLOCK_REALTIME, deadline));
}

TEST_F(SemaphoresTest, TheChildOfForkBlocksOnThem) {
  int status = -1;
  world_.Run([&] {
    const pid_t child = fork();
    if (child == 0) {
      const timespec deadline = InMs(CLOCK_REALTIME, 5);
      if (sem_timedwait(&semaphore_, &deadline) != -1 || errno != ETIMEDOUT) _exit(1);
      sem_post(&semaphore_);
      _exit(sem_wait(&semaphore_) == 0 ? 7 : 2);
    }
    waitpid(child, &status, 0);
  });
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

}  // namespace
}  // namespace greenring::posix
