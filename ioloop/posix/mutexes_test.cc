#include <errno.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

#include "base/sanitizers.h"
#include "gtest/gtest.h"
#include "ioloop/posix/lock_test_util.h"
#include "ioloop/posix/posix_world.h"

#if GREENRING_TSAN
// What is tested here includes the errors of callers, which TSan would report.
extern "C" const char* __tsan_default_options() { return "report_mutex_bugs=0"; }
#endif

namespace greenring::posix {
namespace {

class MutexesTest : public ::testing::Test {
 protected:
  ~MutexesTest() override { EXPECT_EQ(pthread_mutex_destroy(&mutex_), 0) << "still locked"; }

  void Init(int type, int shared = PTHREAD_PROCESS_PRIVATE) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, type);
    pthread_mutexattr_setpshared(&attributes, shared);
    pthread_mutex_init(&mutex_, &attributes);
    pthread_mutexattr_destroy(&attributes);
  }

  PosixWorld world_;
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
};

constexpr int kTypes[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK,
                          PTHREAD_MUTEX_ADAPTIVE_NP};

TEST_F(MutexesTest, OfEveryTypeLockParksUntilTheUnlock) {
  for (int type : kTypes) {
    for (int shared : {PTHREAD_PROCESS_PRIVATE, PTHREAD_PROCESS_SHARED}) {
      Init(type, shared);
      int inside = 0, most = 0, turns = 0;
      for (int i = 0; i < 4; ++i) {
        world_.Go([&] {
          EXPECT_EQ(pthread_mutex_lock(&mutex_), 0);
          most = std::max(most, ++inside);
          world_.scheduler()->Yield();
          --inside;
          ++turns;
          EXPECT_EQ(pthread_mutex_unlock(&mutex_), 0);
        });
      }
      world_.RunAll();
      EXPECT_EQ(most, 1) << type;
      EXPECT_EQ(turns, 4) << type;
    }
  }
}

TEST_F(MutexesTest, OfEveryTypeItIsLockedByOneOfManyThreadsOfBothKinds) {
  constexpr int kRounds = 300;
  for (int type : kTypes) {
    Init(type);
    std::atomic<int> inside{0};
    int count = 0;
    const auto use = [&](bool is_green) {
      for (int round = 0; round < kRounds; ++round) {
        EXPECT_EQ(pthread_mutex_lock(&mutex_), 0);
        EXPECT_EQ(inside.fetch_add(1), 0);
        ++count;
        if (is_green && round % 4 == 0) world_.scheduler()->Yield();
        inside.fetch_sub(1);
        EXPECT_EQ(pthread_mutex_unlock(&mutex_), 0);
      }
    };
    std::thread threads[] = {std::thread([&] { use(false); }), std::thread([&] { use(false); })};
    for (int i = 0; i < 3; ++i) world_.Go([&] { use(true); });
    world_.RunAll();
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(count, 5 * kRounds);
  }
}

TEST_F(MutexesTest, ARecursiveOneIsItsGreenThreadsAlone) {
  Init(PTHREAD_MUTEX_RECURSIVE);
  bool unlocked = false;
  world_.Go([&] {
    EXPECT_EQ(pthread_mutex_lock(&mutex_), 0);
    EXPECT_EQ(pthread_mutex_lock(&mutex_), 0);
    EXPECT_EQ(pthread_mutex_trylock(&mutex_), 0);
    SleepMs(5);
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(pthread_mutex_unlock(&mutex_), 0);
      world_.scheduler()->Yield();
    }
    unlocked = true;
    EXPECT_EQ(pthread_mutex_unlock(&mutex_), 0);
    EXPECT_EQ(pthread_mutex_unlock(&mutex_), EPERM);
  });
  world_.Go([&] {
    EXPECT_EQ(pthread_mutex_trylock(&mutex_), EBUSY);
    EXPECT_EQ(pthread_mutex_unlock(&mutex_), EPERM);
    EXPECT_EQ(pthread_mutex_lock(&mutex_), 0);
    EXPECT_TRUE(unlocked);
    EXPECT_EQ(pthread_mutex_unlock(&mutex_), 0);
  });
  world_.RunAll();
}

TEST_F(MutexesTest, AnErrorCheckingOneKnowsItsGreenThread) {
  Init(PTHREAD_MUTEX_ERRORCHECK);
  const auto check = [&] {
    EXPECT_EQ(pthread_mutex_lock(&mutex_), 0);
    EXPECT_EQ(pthread_mutex_lock(&mutex_), EDEADLK);
    EXPECT_EQ(pthread_mutex_trylock(&mutex_), EBUSY);
    world_.scheduler()->Yield();
    EXPECT_EQ(pthread_mutex_unlock(&mutex_), 0);
    EXPECT_EQ(pthread_mutex_unlock(&mutex_), EPERM);
  };
  world_.Go(check);
  world_.Go(check, {.is_os_thread = true});
  world_.Go([&] { EXPECT_EQ(pthread_mutex_unlock(&mutex_), EPERM); });
  world_.RunAll();
}

TEST_F(MutexesTest, WhoPassesForTheOsThreadSharesItsMutexesWithNobody) {
  Init(PTHREAD_MUTEX_RECURSIVE);
  bool green_has_it = false;
  world_.Go(
      [&] {
        EXPECT_EQ(pthread_mutex_lock(&mutex_), 0);
        EXPECT_EQ(pthread_mutex_lock(&mutex_), 0);
        SleepMs(5);
        EXPECT_FALSE(green_has_it);
        EXPECT_EQ(pthread_mutex_unlock(&mutex_), 0);
        EXPECT_EQ(pthread_mutex_unlock(&mutex_), 0);
        while (!green_has_it) world_.scheduler()->Yield();
        EXPECT_EQ(pthread_mutex_trylock(&mutex_), EBUSY);
        EXPECT_EQ(pthread_mutex_unlock(&mutex_), EPERM);
        EXPECT_EQ(pthread_mutex_lock(&mutex_), 0);
        EXPECT_EQ(pthread_mutex_unlock(&mutex_), 0);
      },
      {.is_os_thread = true});
  world_.Go([&] {
    EXPECT_EQ(pthread_mutex_trylock(&mutex_), EBUSY);
    EXPECT_EQ(pthread_mutex_unlock(&mutex_), EPERM);
    EXPECT_EQ(pthread_mutex_lock(&mutex_), 0);
    green_has_it = true;
    SleepMs(5);
    EXPECT_EQ(pthread_mutex_unlock(&mutex_), 0);
  });
  world_.RunAll();
}

TEST_F(MutexesTest, AnOsThreadDoesNotOwnWhatAGreenThreadLocked) {
  for (int type : {PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK}) {
    Init(type);
    world_.Run([&] {
      pthread_mutex_lock(&mutex_);
      RunOnOsThread([&] {
        EXPECT_EQ(pthread_mutex_trylock(&mutex_), EBUSY);
        EXPECT_EQ(pthread_mutex_unlock(&mutex_), EPERM);
      });
      pthread_mutex_unlock(&mutex_);
    });
  }
}

TEST_F(MutexesTest, TimedLocksEndAtTheirInstant) {
  world_.Run([&] {
    pthread_mutex_lock(&mutex_);
    timespec deadline = InMs(CLOCK_REALTIME, 20);
    EXPECT_EQ(pthread_mutex_timedlock(&mutex_, &deadline), ETIMEDOUT);
    EXPECT_TRUE(HasPassed(CLOCK_REALTIME, deadline));
    for (clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC}) {
      deadline = InMs(clock, 20);
      EXPECT_EQ(pthread_mutex_clocklock(&mutex_, clock, &deadline), ETIMEDOUT);
      EXPECT_TRUE(HasPassed(clock, deadline));
    }
    EXPECT_EQ(pthread_mutex_clocklock(&mutex_, CLOCK_PROCESS_CPUTIME_ID, &deadline), EINVAL);
    const timespec invalid = {0, kNanosecondsPerSecond};
    EXPECT_EQ(pthread_mutex_timedlock(&mutex_, &invalid), EINVAL);
    pthread_mutex_unlock(&mutex_);
    EXPECT_EQ(pthread_mutex_timedlock(&mutex_, &invalid), 0);
    pthread_mutex_unlock(&mutex_);
  });
}

TEST_F(MutexesTest, CancelDoesNotEndAWait) {
  green::GreenThread* waiting = nullptr;
  world_.Go([&] {
    pthread_mutex_lock(&mutex_);
    world_.scheduler()->Yield();
    world_.scheduler()->Cancel(waiting);
    SleepMs(5);
    pthread_mutex_unlock(&mutex_);
  });
  waiting = world_.Go([&] {
    EXPECT_EQ(pthread_mutex_lock(&mutex_), 0);
    EXPECT_EQ(pthread_mutex_unlock(&mutex_), 0);
  });
  world_.RunAll();
}

TEST_F(MutexesTest, WhatIsLeftAloneIsTheCLibrarys) {
#if GREENRING_TSAN
  GTEST_SKIP() << "to TSan green threads are threads, of which two have one mutex here";
#endif
  Init(PTHREAD_MUTEX_RECURSIVE);
  LeaveAlone({.begin = &mutex_, .size_bytes = sizeof(mutex_)});
  world_.Go([&] {
    pthread_mutex_lock(&mutex_);
    world_.scheduler()->Yield();
    pthread_mutex_unlock(&mutex_);
  });
  world_.Go([&] {  // the same OS thread
    EXPECT_EQ(pthread_mutex_lock(&mutex_), 0);
    EXPECT_EQ(pthread_mutex_unlock(&mutex_), 0);
  });
  world_.RunAll();
  LeaveAlone({});
}

TEST_F(MutexesTest, WhoLeavesThemAloneIsToldOfEveryLockOfAGreenThread) {
  static constinit int about_to_lock = 0, unlocked = 0;
  Init(PTHREAD_MUTEX_NORMAL);
  LeaveAlone({.begin = &mutex_,
              .size_bytes = sizeof(mutex_),
              .before_lock = [](const void*) { ++about_to_lock; },
              .after_unlock = [](const void*) { ++unlocked; }});
  const auto lock_and_unlock = [&] {
    pthread_mutex_lock(&mutex_);
    pthread_mutex_unlock(&mutex_);
  };
  std::thread(lock_and_unlock).join();
  lock_and_unlock();
  EXPECT_EQ(about_to_lock + unlocked, 0);
  world_.Run([&] {
    pthread_mutex_lock(&mutex_);
    EXPECT_EQ(about_to_lock, 1);
    EXPECT_EQ(unlocked, 0);
    pthread_mutex_unlock(&mutex_);
    EXPECT_EQ(unlocked, 1);
  });
  LeaveAlone({});
}

TEST_F(MutexesTest, RobustAndInheritingOnesAreTheCLibrarys) {
  pthread_mutexattr_t attributes;
  for (bool robust : {true, false}) {
    pthread_mutexattr_init(&attributes);
    if (robust) {
      pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    } else {
      pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    }
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&mutex_, &attributes);
    world_.Run([&] {
      EXPECT_EQ(pthread_mutex_lock(&mutex_), 0);
      EXPECT_EQ(pthread_mutex_lock(&mutex_), EDEADLK);
      EXPECT_EQ(pthread_mutex_unlock(&mutex_), 0);
    });
    pthread_mutexattr_destroy(&attributes);
  }
}

TEST_F(MutexesTest, TheChildOfForkOwnsWhatItsGreenThreadOwned) {
  for (int type : kTypes) {
    Init(type);
    int status = -1;
    world_.Run([&] {
      pthread_mutex_lock(&mutex_);
      const pid_t child = fork();
      if (child == 0) {
        if (type == PTHREAD_MUTEX_RECURSIVE &&
            (pthread_mutex_lock(&mutex_) != 0 || pthread_mutex_unlock(&mutex_) != 0)) {
          _exit(1);
        }
        if (type == PTHREAD_MUTEX_ERRORCHECK && pthread_mutex_lock(&mutex_) != EDEADLK) _exit(2);
        if (pthread_mutex_unlock(&mutex_) != 0) _exit(3);
        if (pthread_mutex_lock(&mutex_) != 0) _exit(4);
        _exit(pthread_mutex_unlock(&mutex_) == 0 ? 7 : 5);
      }
      pthread_mutex_unlock(&mutex_);
      waitpid(child, &status, 0);
    });
    EXPECT_EQ(WEXITSTATUS(status), 7) << type;
  }
}

TEST_F(MutexesTest, StandardMutexesPark) {
  std::mutex mutex;
  std::recursive_mutex recursive;
  std::timed_mutex timed;
  int inside = 0;
  for (int i = 0; i < 3; ++i) {
    world_.Go([&] {
      std::lock_guard<std::mutex> lock(mutex);
      std::lock_guard<std::recursive_mutex> outer(recursive);
      std::lock_guard<std::recursive_mutex> inner(recursive);
      EXPECT_EQ(++inside, 1);
      SleepMs(1);
      --inside;
    });
  }
  world_.Go([&] {
    std::lock_guard<std::timed_mutex> lock(timed);
    SleepMs(30);
  });
  world_.Go([&] { EXPECT_FALSE(timed.try_lock_for(std::chrono::milliseconds(5))); });
  world_.RunAll();
}

TEST_F(MutexesTest, OnOsThreadsTheyAreTheCLibrarys) {
  Init(PTHREAD_MUTEX_ERRORCHECK);
  EXPECT_EQ(pthread_mutex_lock(&mutex_), 0);
  EXPECT_EQ(pthread_mutex_lock(&mutex_), EDEADLK);
  std::thread([&] {
    const timespec deadline = InMs(CLOCK_REALTIME, 10);
    EXPECT_EQ(pthread_mutex_timedlock(&mutex_, &deadline), ETIMEDOUT);
    EXPECT_TRUE(HasPassed(CLOCK_REALTIME, deadline));
    EXPECT_EQ(pthread_mutex_unlock(&mutex_), EPERM);
  }).join();
  EXPECT_EQ(pthread_mutex_unlock(&mutex_), 0);
}

// The bits that mutexes.cc reads.
TEST_F(MutexesTest, TheCLibraryKeepsTheKindWhereWeReadIt) {
  for (int type : kTypes) {
    Init(type);
    EXPECT_EQ(mutex_.__data.__kind & 3, type);
  }
  Init(PTHREAD_MUTEX_NORMAL, PTHREAD_PROCESS_SHARED);
  EXPECT_EQ(mutex_.__data.__kind & 128, 128);
}

}  // namespace
}  // namespace greenring::posix
