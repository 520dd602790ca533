#include <errno.h>
#include <pthread.h>

#include <atomic>
#include <memory>
#include <thread>

#include "gtest/gtest.h"
#include "ioloop/posix/lock_test_util.h"
#include "ioloop/posix/posix_world.h"

namespace greenring::posix {
namespace {

TEST(BarriersTest, LetsNobodyOnBeforeTheLastAndCallsOneSerialRoundAfterRound) {
  constexpr int kThreads = 4, kRounds = 200;
  pthread_barrier_t barrier;
  ASSERT_EQ(pthread_barrier_init(&barrier, nullptr, kThreads), 0);
  std::atomic<int> arrived{0}, serial{0};
  const auto use = [&] {
    for (int round = 1; round <= kRounds; ++round) {
      arrived.fetch_add(1);
      const int result = pthread_barrier_wait(&barrier);
      if (result == PTHREAD_BARRIER_SERIAL_THREAD) {
        serial.fetch_add(1);
      } else {
        EXPECT_EQ(result, 0);
      }
      EXPECT_GE(arrived.load(), round * kThreads);
    }
  };
  PosixWorld world;
  std::thread threads[] = {std::thread(use), std::thread(use)};
  world.Go(use);
  world.Go(use);
  world.RunAll();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(serial.load(), kRounds);
  EXPECT_EQ(pthread_barrier_destroy(&barrier), 0);
}

TEST(BarriersTest, CancelDoesNotEndAWait) {
  PosixWorld world;
  pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, nullptr, 2);
  bool second = false;
  green::GreenThread* waiting = world.Go([&] {
    EXPECT_EQ(pthread_barrier_wait(&barrier), 0);
    EXPECT_TRUE(second);
  });
  world.Go([&] {
    world.scheduler()->Cancel(waiting);
    SleepMs(5);
    second = true;
    EXPECT_EQ(pthread_barrier_wait(&barrier), PTHREAD_BARRIER_SERIAL_THREAD);
  });
  world.RunAll();
  pthread_barrier_destroy(&barrier);
}

TEST(BarriersTest, DestroyWaitsForThoseWhoAreLeaving) {
  PosixWorld world;
  constexpr int kRounds = 200;
  for (int round = 0; round < kRounds; ++round) {
    auto barrier = std::make_unique<pthread_barrier_t>();
    pthread_barrier_init(barrier.get(), nullptr, 3);
    pthread_barrier_t* const raw = barrier.get();
    const auto wait = [&] {
      if (pthread_barrier_wait(raw) != PTHREAD_BARRIER_SERIAL_THREAD) return;
      EXPECT_EQ(pthread_barrier_destroy(raw), 0);
      barrier.reset();
    };
    std::thread thread(wait);
    world.Go(wait);
    world.Go(wait);
    world.RunAll();
    thread.join();
  }
}

TEST(BarriersTest, NobodyIsNotACount) {
  pthread_barrier_t barrier;
  EXPECT_EQ(pthread_barrier_init(&barrier, nullptr, 0), EINVAL);
}

TEST(BarriersTest, OfOneLetsEverybodyOn) {
  PosixWorld world;
  world.Run([] {
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, nullptr, 1);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(pthread_barrier_wait(&barrier), PTHREAD_BARRIER_SERIAL_THREAD);
    EXPECT_EQ(pthread_barrier_destroy(&barrier), 0);
  });
}

TEST(BarriersTest, OneBetweenProcessesIsTheCLibrarys) {
  pthread_barrierattr_t attributes;
  pthread_barrierattr_init(&attributes);
  pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_barrier_t barrier;
  ASSERT_EQ(pthread_barrier_init(&barrier, &attributes, 2), 0);
  std::atomic<int> serial{0};
  const auto wait = [&] {
    if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD) serial.fetch_add(1);
  };
  std::thread thread(wait);
  PosixWorld world;
  world.Run(wait);
  thread.join();
  EXPECT_EQ(serial.load(), 1);
  EXPECT_EQ(pthread_barrier_destroy(&barrier), 0);
}

}  // namespace
}  // namespace greenring::posix
