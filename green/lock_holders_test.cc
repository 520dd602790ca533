#include "green/lock_holders.h"

#include <memory>

#include "green/scheduler.h"
#include "gtest/gtest.h"
#include "testing/sim_clock.h"
#include "testing/sim_poller.h"

namespace greenring::green {
namespace {

using Holder = LockHolders::Holder;

TEST(LockHoldersTest, NobodyHoldsWhatNobodyHasAcquired) {
  int lock = 0;
  EXPECT_FALSE(LockHolders::Of(&lock).is_known());
}

TEST(LockHoldersTest, KnowsTheGreenThreadThatAcquiredLast) {
  testing::SimClock clock;
  testing::SimPoller poller(&clock);
  Scheduler scheduler({.clock = &clock});
  int lock = 0;
  uint64_t last_id = 0;
  for (int i = 0; i < 2; ++i) {
    scheduler.Spawn([&] {
      const GreenThread* const self = GreenThread::Current();
      LockHolders::Acquired(&lock, LockHolders::OfGreenThread(*self));
      last_id = self->id();
    });
  }
  scheduler.Spawn([&] { scheduler.Stop(); });
  scheduler.Run(&poller);
  EXPECT_EQ(LockHolders::Of(&lock).green_thread_id(), last_id);
  EXPECT_EQ(LockHolders::Of(&lock).os_thread_id(), 0);
  LockHolders::Released(&lock);
}

TEST(LockHoldersTest, KnowsAnOsThread) {
  int lock = 0;
  LockHolders::Acquired(&lock, LockHolders::OfOsThread(4711));
  EXPECT_EQ(LockHolders::Of(&lock).os_thread_id(), 4711);
  EXPECT_EQ(LockHolders::Of(&lock).green_thread_id(), 0u);
  LockHolders::Released(&lock);
}

TEST(LockHoldersTest, AReleasedLockHasNoHolder) {
  int lock = 0;
  LockHolders::Acquired(&lock, LockHolders::OfOsThread(1));
  LockHolders::Released(&lock);
  EXPECT_FALSE(LockHolders::Of(&lock).is_known());
}

// More locks than slots: each has its own holder or none, never another's.
TEST(LockHoldersTest, ForgetsRatherThanMixesUp) {
  constexpr int kLocks = 100'000;
  const auto locks = std::make_unique<char[]>(kLocks);
  for (int i = 0; i < kLocks; ++i) LockHolders::Acquired(&locks[i], LockHolders::OfOsThread(i + 1));
  int known = 0;
  for (int i = 0; i < kLocks; ++i) {
    const Holder holder = LockHolders::Of(&locks[i]);
    if (!holder.is_known()) continue;
    ++known;
    EXPECT_EQ(holder.os_thread_id(), i + 1);
  }
  EXPECT_GT(known, 1000);
  EXPECT_EQ(LockHolders::Of(&locks[kLocks - 1]).os_thread_id(), kLocks);
  for (int i = 0; i < kLocks; ++i) LockHolders::Released(&locks[i]);
}

}  // namespace
}  // namespace greenring::green
