#include "green/sync/mutex.h"

#include "green/sync/sync_fixture.h"

// The tests hold and release across green threads in ways that the static analysis cannot follow.
#define GREENRING_UNANALYSED ABSL_NO_THREAD_SAFETY_ANALYSIS

namespace greenring::green {
namespace {

class MutexTest : public SyncTest {
 protected:
  // A green thread that holds `mutex_` for `milliseconds`.
  GreenThread* GoHold(int64_t milliseconds) {
    return Go(&scheduler_, [this, milliseconds] {
      MutexLock lock(&mutex_);
      SleepMs(milliseconds);
    });
  }

  Mutex mutex_;
};

TEST_P(MutexTest, OneGreenThreadAtATimeIsInside) {
  int inside = 0;
  for (int i = 0; i < 10; ++i) {
    Go(&scheduler_, [&, i] {
      MutexLock lock(&mutex_);
      EXPECT_EQ(++inside, 1);
      SleepMs(i % 3 + 1);
      --inside;
    });
  }
  RunToEnd();
}

TEST_P(MutexTest, LockGoesToTheLongestWaiting) {
  GoHold(1);
  for (int i = 0; i < 4; ++i) {
    Go(&scheduler_, [this, i] {
      MutexLock lock(&mutex_);
      trace_.push_back(i);
    });
  }
  RunToEnd();
  EXPECT_EQ(trace_, (std::vector<int>{0, 1, 2, 3}));
}

TEST_P(MutexTest, UnlockedLockCannotBeTakenFromUnderTheNextInLine) {
  Go(&scheduler_, [this]() GREENRING_UNANALYSED {
    mutex_.Lock();
    SleepMs(1);
    mutex_.Unlock();
    EXPECT_FALSE(mutex_.TryLock()) << "it is the waiter's already";
    EXPECT_FALSE(mutex_.held());
    MutexLock again(&mutex_);
    trace_.push_back(2);
  });
  Go(&scheduler_, [this] {
    MutexLock lock(&mutex_);
    trace_.push_back(1);
  });
  RunToEnd();
  EXPECT_EQ(trace_, (std::vector<int>{1, 2}));
}

TEST_P(MutexTest, TryLockTakesAFreeLockOnly) {
  Go(&scheduler_, [this]() GREENRING_UNANALYSED {
    ASSERT_TRUE(mutex_.TryLock());
    EXPECT_TRUE(mutex_.held());
    EXPECT_FALSE(mutex_.TryLock());
    mutex_.Unlock();
    EXPECT_FALSE(mutex_.held());
  });
  RunToEnd();
}

TEST_P(MutexTest, LockUntilGivesUpAtItsDeadlineAndLeavesTheLine) {
  GoHold(10);
  Go(&scheduler_, [this]() GREENRING_UNANALYSED {
    WaitResult result = WaitResult::kDone;
    const int64_t deadline_ns = InMs(5);
    EXPECT_FALSE(mutex_.LockUntil(deadline_ns, &result));
    EXPECT_EQ(result, WaitResult::kTimedOut);
    EXPECT_EQ(now_ns(), deadline_ns);
    ExpectNoTrace();
    EXPECT_TRUE(mutex_.LockUntil(InMs(10), &result));
    EXPECT_EQ(result, WaitResult::kDone);
    mutex_.Unlock();
  });
  RunToEnd();
}

TEST_P(MutexTest, CancelEndsLockUntilButNotLock) {
  GoHold(10);
  GreenThread* timed = Go(&scheduler_, [this]() GREENRING_UNANALYSED {
    WaitResult result = WaitResult::kDone;
    EXPECT_FALSE(mutex_.LockUntil(kNeverNs, &result));
    EXPECT_EQ(result, WaitResult::kCancelled);
    trace_.push_back(1);
  });
  GreenThread* untimed = Go(&scheduler_, [this] {
    MutexLock lock(&mutex_);
    trace_.push_back(2);
    EXPECT_EQ(scheduler_.Park(), ParkResult::kCancelled) << "the cancellation is still pending";
  });
  Go(&scheduler_, [&] {
    scheduler_.Cancel(timed);
    scheduler_.Cancel(untimed);
  });
  RunToEnd();
  EXPECT_EQ(trace_, (std::vector<int>{1, 2}));
}

TEST_P(MutexTest, PendingCancellationDoesNotRefuseAFreeLock) {
  GreenThread* thread = Go(&scheduler_, [this]() GREENRING_UNANALYSED {
    EXPECT_TRUE(mutex_.LockUntil(InMs(1)));
    mutex_.Unlock();
  });
  scheduler_.Cancel(thread);
  RunToEnd();
}

TEST_P(MutexTest, LockHandedOverAtTheDeadlineIsKept) {
  const int64_t deadline_ns = InMs(5);
  Go(&scheduler_, [=, this] {
    MutexLock lock(&mutex_);
    scheduler_.Park(deadline_ns - 1);
    // The waiter below is made runnable by its deadline in this same turn, after us.
  });
  Go(&scheduler_, [=, this]() GREENRING_UNANALYSED {
    ASSERT_TRUE(mutex_.LockUntil(deadline_ns));
    EXPECT_EQ(now_ns(), deadline_ns);
    ExpectNoTrace();
    mutex_.Unlock();
  });
  Go(&scheduler_, [=, this] { clock_.AdvanceTo(deadline_ns); });
  RunToEnd();
}

TEST_P(MutexTest, LockHandedOverAfterACancelIsKept) {
  GreenThread* waiter = nullptr;
  Go(&scheduler_, [&] {
    MutexLock lock(&mutex_);
    scheduler_.Yield();
    scheduler_.Cancel(waiter);
  });
  waiter = Go(&scheduler_, [this]() GREENRING_UNANALYSED {
    EXPECT_TRUE(mutex_.LockUntil(kNeverNs));
    scheduler_.ClearCancel();
    ExpectNoTrace();
    mutex_.Unlock();
  });
  RunToEnd();
}

TEST_P(MutexTest, PermitsOfOthersDoNotEndTheWait) {
  GoHold(10);
  GreenThread* waiter = Go(&scheduler_, [this] {
    const int64_t end_ns = InMs(10);
    MutexLock lock(&mutex_);
    EXPECT_GE(now_ns(), end_ns);
  });
  Go(&scheduler_, [=, this] {
    for (int i = 0; i < 3; ++i) {
      scheduler_.Unpark(waiter);
      SleepMs(1);
    }
  });
  RunToEnd();
}

using MutexDeathTest = MutexTest;

TEST_P(MutexDeathTest, LockingTwiceNamesTheDeadlock) {
  EXPECT_DEATH(
      {
        Go(&scheduler_, [this]() GREENRING_UNANALYSED {
          mutex_.Lock();
          mutex_.Lock();
        });
        RunToEnd();
      },
      "locked again by the green thread that holds it");
}

TEST_P(MutexDeathTest, UnlockingWhatAnotherHoldsIsCaught) {
  EXPECT_DEATH(
      {
        GoHold(1);
        Go(&scheduler_, [this]() GREENRING_UNANALYSED { mutex_.Unlock(); });
        RunToEnd();
      },
      "does not hold it");
}

TEST_P(MutexDeathTest, LockingInTheLoopsContextIsCaught) {
  EXPECT_DEATH([this]() GREENRING_UNANALYSED { mutex_.Lock(); }(), "needs to run on a green thread");
}

GREENRING_INSTANTIATE_SYNC_TEST(MutexTest);
GREENRING_INSTANTIATE_SYNC_TEST(MutexDeathTest);

}  // namespace
}  // namespace greenring::green
