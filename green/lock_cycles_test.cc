#include "green/lock_cycles.h"

#include <utility>
#include <vector>

#include "base/clock.h"
#include "green/inspection.h"
#include "green/lock_holders.h"
#include "green/scoped_wait.h"
#include "gtest/gtest.h"
#include "testing/sim_clock.h"
#include "testing/sim_poller.h"

namespace greenring::green {
namespace {

constexpr int64_t kMs = kNanosecondsPerMillisecond;

// A lock as the C library's are made of tries and parks; it notes what they note.
class Lock {
 public:
  void Acquire(Scheduler* scheduler) {
    GreenThread* const self = scheduler->current();
    if (held_) {
      LockWatch::OnWait(scheduler);
      const ScopedWait wait(self, {.call = "lock", .object = this, .kind = WaitNote::Kind::kLock});
      while (held_ && !let_go_) {
        waiters_.push_back(self);
        scheduler->Park();
      }
    }
    held_ = true;
    LockHolders::Acquired(this, LockHolders::OfGreenThread(*self));
  }
  void Release(Scheduler* scheduler) {
    held_ = false;
    LockHolders::Released(this);
    WakeAll(scheduler);
  }
  // Who waits goes on without it.
  void LetGo(Scheduler* scheduler) {
    let_go_ = true;
    WakeAll(scheduler);
  }

 private:
  void WakeAll(Scheduler* scheduler) {
    for (GreenThread* waiter : std::exchange(waiters_, {})) scheduler->Unpark(waiter);
  }

  bool held_ = false;
  bool let_go_ = false;
  std::vector<GreenThread*> waiters_;
};

class LockCyclesTest : public ::testing::Test {
 protected:
  ~LockCyclesTest() override {
    for (Lock& lock : locks_) LockHolders::Released(&lock);
    EXPECT_EQ(scheduler_.stats().live, 0u);
  }

  // A green thread that acquires `first`, waits for `pause_ns`, and acquires `second`.
  void SpawnHolder(int first, int second, int64_t pause_ns) {
    scheduler_.Spawn([this, first, second, pause_ns] {
      locks_[first].Acquire(&scheduler_);
      scheduler_.Park(clock_.NowNs() + pause_ns);
      locks_[second].Acquire(&scheduler_);
    });
  }

  // The members' ids of what the watch has told up to `duration_ns` from now; everybody is let go then.
  std::vector<std::vector<uint64_t>> WatchFor(int64_t duration_ns) {
    std::vector<std::vector<uint64_t>> told, told_then;
    LockWatch watch(&scheduler_, [&](const LockCycle& cycle) {
      told.emplace_back();
      for (const GreenThread* member : cycle) told.back().push_back(member->id());
    });
    scheduler_.Spawn([&] {
      scheduler_.Park(clock_.NowNs() + duration_ns);
      told_then = told;
      for (Lock& lock : locks_) lock.LetGo(&scheduler_);
      while (scheduler_.stats().live > 1) scheduler_.Park(clock_.NowNs() + 1'000 * kMs);
      scheduler_.Stop();
    });
    scheduler_.Run(&poller_);
    return told_then;
  }

  testing::SimClock clock_;
  testing::SimPoller poller_{&clock_};
  Scheduler scheduler_{{.clock = &clock_}};
  Lock locks_[3];
};

using Ids = std::vector<uint64_t>;

TEST_F(LockCyclesTest, TwoThatWaitForEachOtherAreToldOnce) {
  SpawnHolder(0, 1, 10 * kMs);
  SpawnHolder(1, 0, 10 * kMs);
  EXPECT_EQ(WatchFor(60'000 * kMs), (std::vector<Ids>{{1, 2}}));
}

TEST_F(LockCyclesTest, ACircleOfThreeIsToldInTheOrderOfItsWaits) {
  SpawnHolder(0, 1, 10 * kMs);
  SpawnHolder(2, 0, 20 * kMs);
  SpawnHolder(1, 2, 30 * kMs);
  // 1 waits for the lock of 3, 3 for that of 2, 2 for that of 1.
  EXPECT_EQ(WatchFor(10'000 * kMs), (std::vector<Ids>{{1, 3, 2}}));
}

TEST_F(LockCyclesTest, ACircleThatIsYoungIsNotTold) {
  SpawnHolder(0, 1, 10 * kMs);
  SpawnHolder(1, 0, 10 * kMs);
  EXPECT_TRUE(WatchFor(500 * kMs).empty());
}

TEST_F(LockCyclesTest, ACircleThatALateWaitClosesIsFoundToo) {
  SpawnHolder(0, 1, 10 * kMs);
  SpawnHolder(1, 0, 5'000 * kMs);
  EXPECT_TRUE(WatchFor(5'400 * kMs).empty());
}

TEST_F(LockCyclesTest, ACircleThatALateWaitClosesIsToldWithinTwoPatiences) {
  SpawnHolder(0, 1, 10 * kMs);
  SpawnHolder(1, 0, 5'000 * kMs);
  EXPECT_EQ(WatchFor(5'000 * kMs + 2 * LockWatch::kPatienceNs).size(), 1u);
}

TEST_F(LockCyclesTest, AQueueForALockIsNone) {
  SpawnHolder(0, 1, 5'000 * kMs);
  SpawnHolder(1, 1, 0);  // waits for what it holds itself, as Python's conditions do
  SpawnHolder(2, 0, 0);
  EXPECT_TRUE(WatchFor(4'000 * kMs).empty());
}

TEST_F(LockCyclesTest, WhoWaitsBesideACircleIsNoMember) {
  SpawnHolder(0, 1, 10 * kMs);
  SpawnHolder(1, 0, 10 * kMs);
  SpawnHolder(2, 0, 10 * kMs);
  const std::vector<Ids> told = WatchFor(10'000 * kMs);
  EXPECT_EQ(told, (std::vector<Ids>{{1, 2}}));
}

TEST_F(LockCyclesTest, AReleaseByAnotherThreadEndsIt) {
  SpawnHolder(0, 1, 10 * kMs);
  SpawnHolder(1, 0, 10 * kMs);
  scheduler_.Spawn([this] {
    scheduler_.Park(clock_.NowNs() + 100 * kMs);
    locks_[0].Release(&scheduler_);
  });
  EXPECT_TRUE(WatchFor(10'000 * kMs).empty());
}

TEST_F(LockCyclesTest, WhileNobodyWaitsThereIsNoTimer) {
  LockWatch watch(&scheduler_, [](const LockCycle&) {});
  EXPECT_EQ(scheduler_.WaitDeadlineNs(), kNeverNs);
  SpawnHolder(0, 1, 0);
  scheduler_.Spawn([this] {
    scheduler_.Park(clock_.NowNs() + 5'000 * kMs);
    EXPECT_EQ(scheduler_.WaitDeadlineNs(), kNeverNs);
    scheduler_.Stop();
  });
  scheduler_.Run(&poller_);
}

// A wait that is for ever, and is no cycle, is looked at once, not again and again.
TEST_F(LockCyclesTest, ALongWaitDoesNotKeepTheLoopAwake) {
  LockWatch watch(&scheduler_, [](const LockCycle&) { ADD_FAILURE(); });
  SpawnHolder(0, 2, 100'000 * kMs);
  scheduler_.Spawn([this] {
    locks_[0].Acquire(&scheduler_);
    scheduler_.Stop();
  });
  scheduler_.Spawn([this] {
    scheduler_.Park(clock_.NowNs() + 100'000 * kMs);
    locks_[0].Release(&scheduler_);
  });
  scheduler_.Run(&poller_);
  EXPECT_LT(poller_.polls(), 10);
}

}  // namespace
}  // namespace greenring::green
