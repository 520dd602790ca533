#include <errno.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <shared_mutex>
#include <thread>

#include "gtest/gtest.h"
#include "ioloop/posix/lock_test_util.h"
#include "ioloop/posix/posix_world.h"

namespace greenring::posix {
namespace {

class RwlocksTest : public ::testing::Test {
 protected:
  ~RwlocksTest() override { EXPECT_EQ(pthread_rwlock_destroy(&lock_), 0); }

  PosixWorld world_;
  pthread_rwlock_t lock_ = PTHREAD_RWLOCK_INITIALIZER;
};

TEST_F(RwlocksTest, ReadersShareAndAWriterParksUntilAllHaveLeft) {
  int readers = 0, most = 0;
  for (int i = 0; i < 3; ++i) {
    world_.Go([&] {
      EXPECT_EQ(pthread_rwlock_rdlock(&lock_), 0);
      most = std::max(most, ++readers);
      SleepMs(5);
      --readers;
      EXPECT_EQ(pthread_rwlock_unlock(&lock_), 0);
    });
  }
  bool written = false;
  world_.Go([&] {
    EXPECT_EQ(pthread_rwlock_wrlock(&lock_), 0);
    EXPECT_EQ(readers, 0);
    written = true;
    EXPECT_EQ(pthread_rwlock_unlock(&lock_), 0);
  });
  world_.RunAll();
  EXPECT_EQ(most, 3);
  EXPECT_TRUE(written);
}

TEST_F(RwlocksTest, ReadersParkUntilTheWriterHasLeftAndAllGetIn) {
  bool writing = false;
  int readers = 0, most = 0;
  world_.Go([&] {
    pthread_rwlock_wrlock(&lock_);
    writing = true;
    SleepMs(5);
    writing = false;
    pthread_rwlock_unlock(&lock_);
  });
  for (int i = 0; i < 3; ++i) {
    world_.Go([&] {
      EXPECT_EQ(pthread_rwlock_rdlock(&lock_), 0);
      EXPECT_FALSE(writing);
      most = std::max(most, ++readers);
      world_.scheduler()->Yield();
      --readers;
      pthread_rwlock_unlock(&lock_);
    });
  }
  world_.RunAll();
  EXPECT_EQ(most, 3);
}

TEST_F(RwlocksTest, TheyHoldBetweenThreadsOfBothKinds) {
  constexpr int kRounds = 300;
  std::atomic<int> readers{0}, writers{0};
  int count = 0;
  const auto use = [&](bool is_green, int who) {
    for (int round = 0; round < kRounds; ++round) {
      if ((round + who) % 3 == 0) {
        EXPECT_EQ(pthread_rwlock_wrlock(&lock_), 0);
        EXPECT_EQ(writers.fetch_add(1), 0);
        EXPECT_EQ(readers.load(), 0);
        ++count;
        if (is_green) world_.scheduler()->Yield();
        writers.fetch_sub(1);
      } else {
        EXPECT_EQ(pthread_rwlock_rdlock(&lock_), 0);
        readers.fetch_add(1);
        EXPECT_EQ(writers.load(), 0);
        if (is_green) world_.scheduler()->Yield();
        readers.fetch_sub(1);
      }
      EXPECT_EQ(pthread_rwlock_unlock(&lock_), 0);
    }
  };
  std::thread threads[] = {std::thread([&] { use(false, 0); }), std::thread([&] { use(false, 1); })};
  for (int i = 0; i < 3; ++i) world_.Go([&, i] { use(true, i); });
  world_.RunAll();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count, 5 * kRounds / 3);
}

TEST_F(RwlocksTest, TimedLocksEndAtTheirInstant) {
  const auto check = [&] {
    timespec deadline = InMs(CLOCK_REALTIME, 10);
    EXPECT_EQ(pthread_rwlock_timedrdlock(&lock_, &deadline), ETIMEDOUT);
    EXPECT_TRUE(HasPassed(CLOCK_REALTIME, deadline));
    deadline = InMs(CLOCK_REALTIME, 10);
    EXPECT_EQ(pthread_rwlock_timedwrlock(&lock_, &deadline), ETIMEDOUT);
    EXPECT_TRUE(HasPassed(CLOCK_REALTIME, deadline));
    for (clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC}) {
      deadline = InMs(clock, 10);
      EXPECT_EQ(pthread_rwlock_clockrdlock(&lock_, clock, &deadline), ETIMEDOUT);
      EXPECT_TRUE(HasPassed(clock, deadline));
      deadline = InMs(clock, 10);
      EXPECT_EQ(pthread_rwlock_clockwrlock(&lock_, clock, &deadline), ETIMEDOUT);
      EXPECT_TRUE(HasPassed(clock, deadline));
    }
    EXPECT_EQ(pthread_rwlock_clockrdlock(&lock_, CLOCK_PROCESS_CPUTIME_ID, &deadline), EINVAL);
    EXPECT_EQ(pthread_rwlock_clockwrlock(&lock_, CLOCK_PROCESS_CPUTIME_ID, &deadline), EINVAL);
  };
  world_.Go([&] {
    pthread_rwlock_wrlock(&lock_);
    RunOnOsThread(check);
    SleepMs(100);
    pthread_rwlock_unlock(&lock_);
  });
  world_.Go(check);
  world_.RunAll();
}

TEST_F(RwlocksTest, AnInstantThatIsNoneIsRefusedWhereItMatters) {
  world_.Go([&] {
    const timespec invalid = {0, -1};
    pthread_rwlock_wrlock(&lock_);
    EXPECT_EQ(pthread_rwlock_timedrdlock(&lock_, &invalid), EINVAL);
    EXPECT_EQ(pthread_rwlock_timedwrlock(&lock_, &invalid), EINVAL);
    pthread_rwlock_unlock(&lock_);
  });
  world_.RunAll();
}

TEST_F(RwlocksTest, CancelDoesNotEndAWait) {
  green::GreenThread* waiting = nullptr;
  world_.Go([&] {
    pthread_rwlock_wrlock(&lock_);
    world_.scheduler()->Yield();
    world_.scheduler()->Cancel(waiting);
    SleepMs(5);
    pthread_rwlock_unlock(&lock_);
  });
  waiting = world_.Go([&] {
    EXPECT_EQ(pthread_rwlock_rdlock(&lock_), 0);
    EXPECT_EQ(pthread_rwlock_unlock(&lock_), 0);
  });
  world_.RunAll();
}

// An OS thread that waits for writing keeps readers out, if the lock is of that kind, until it gives up.
TEST_F(RwlocksTest, AWriterThatGivesUpLetsReadersIn) {
  pthread_rwlockattr_t attributes;
  pthread_rwlockattr_init(&attributes);
  pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
  pthread_rwlock_init(&lock_, &attributes);
  std::thread writer;
  bool done = false;
  world_.Go([&] {
    pthread_rwlock_rdlock(&lock_);
    writer = std::thread([&] {
      const timespec deadline = InMs(CLOCK_REALTIME, 30);
      EXPECT_EQ(pthread_rwlock_timedwrlock(&lock_, &deadline), ETIMEDOUT);
    });
    while (!done) SleepMs(1);  // does not unlock before
    pthread_rwlock_unlock(&lock_);
  });
  world_.Go([&] {
    while (pthread_rwlock_tryrdlock(&lock_) == 0) {  // until the writer waits
      pthread_rwlock_unlock(&lock_);
      SleepMs(1);
    }
    EXPECT_EQ(pthread_rwlock_rdlock(&lock_), 0);
    pthread_rwlock_unlock(&lock_);
    done = true;
  });
  world_.RunAll();
  writer.join();
}

TEST_F(RwlocksTest, TheChildOfForkHasWhatItsGreenThreadHad) {
  int status = -1;
  world_.Run([&] {
    pthread_rwlock_rdlock(&lock_);
    const pid_t child = fork();
    if (child == 0) {
      if (pthread_rwlock_unlock(&lock_) != 0 || pthread_rwlock_wrlock(&lock_) != 0) _exit(1);
      _exit(pthread_rwlock_unlock(&lock_) == 0 ? 7 : 2);
    }
    pthread_rwlock_unlock(&lock_);
    waitpid(child, &status, 0);
  });
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST_F(RwlocksTest, StandardSharedMutexesPark) {
  std::shared_mutex mutex;
  int value = 0;
  world_.Go([&] {
    std::unique_lock<std::shared_mutex> lock(mutex);
    SleepMs(5);
    value = 1;
  });
  for (int i = 0; i < 2; ++i) {
    world_.Go([&] {
      std::shared_lock<std::shared_mutex> lock(mutex);
      EXPECT_EQ(value, 1);
    });
  }
  world_.RunAll();
}

}  // namespace
}  // namespace greenring::posix
