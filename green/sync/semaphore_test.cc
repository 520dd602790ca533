#include "green/sync/semaphore.h"

#include "green/sync/sync_fixture.h"

namespace greenring::green {
namespace {

class SemaphoreTest : public SyncTest {
 protected:
  // A green thread that waits for `count` permits and notes `mark` when it has them.
  GreenThread* GoAcquire(int mark, int64_t count = 1) {
    return Go(&scheduler_, [this, mark, count] {
      ASSERT_EQ(semaphore_.Acquire(count), WaitResult::kDone);
      trace_.push_back(mark);
    });
  }

  Semaphore semaphore_{0};
};

TEST_P(SemaphoreTest, NoMoreThanItsPermitsAreInside) {
  Semaphore semaphore(3);
  int inside = 0, inside_max = 0;
  for (int i = 0; i < 10; ++i) {
    Go(&scheduler_, [&] {
      ASSERT_EQ(semaphore.Acquire(), WaitResult::kDone);
      inside_max = std::max(inside_max, ++inside);
      SleepMs(1);
      --inside;
      semaphore.Release();
    });
  }
  RunToEnd();
  EXPECT_EQ(inside_max, 3);
  EXPECT_EQ(semaphore.available(), 3);
}

TEST_P(SemaphoreTest, ManyAreTakenAllOrNone) {
  Go(&scheduler_, [this] {
    semaphore_.Release(2);
    EXPECT_FALSE(semaphore_.TryAcquire(3));
    EXPECT_EQ(semaphore_.available(), 2);
    EXPECT_TRUE(semaphore_.TryAcquire(2));
    EXPECT_EQ(semaphore_.available(), 0);
    EXPECT_TRUE(semaphore_.TryAcquire(0));
  });
  RunToEnd();
}

TEST_P(SemaphoreTest, WhoWaitsForManyIsNotOvertaken) {
  GoAcquire(1, 3);
  GoAcquire(2, 1);
  Go(&scheduler_, [this] {
    semaphore_.Release(2);
    EXPECT_FALSE(semaphore_.TryAcquire(1)) << "overtook two that wait";
    EXPECT_EQ(semaphore_.available(), 2);
    scheduler_.Yield();
    EXPECT_TRUE(trace_.empty());
    semaphore_.Release(2);
  });
  RunToEnd();
  EXPECT_EQ(trace_, (std::vector<int>{1, 2}));
}

TEST_P(SemaphoreTest, OneReleaseServesAllItCan) {
  for (int i = 0; i < 4; ++i) GoAcquire(i);
  Go(&scheduler_, [this] {
    semaphore_.Release(3);
    scheduler_.Yield();
    EXPECT_EQ(trace_, (std::vector<int>{0, 1, 2}));
    semaphore_.Release();
  });
  RunToEnd();
  EXPECT_EQ(semaphore_.available(), 0);
}

TEST_P(SemaphoreTest, DeadlineOfTheOneInFrontServesThoseBehind) {
  semaphore_.Release(2);
  Go(&scheduler_, [this] {
    EXPECT_EQ(semaphore_.AcquireUntil(InMs(5), 3), WaitResult::kTimedOut);
    ExpectNoTrace();
  });
  GoAcquire(1);
  GoAcquire(2);
  RunToEnd();
  EXPECT_EQ(trace_, (std::vector<int>{1, 2}));
}

TEST_P(SemaphoreTest, CancelOfTheOneInFrontServesThoseBehind) {
  semaphore_.Release();
  GreenThread* front = Go(&scheduler_, [this] {
    EXPECT_EQ(semaphore_.Acquire(2), WaitResult::kCancelled);
    scheduler_.ClearCancel();
    ExpectNoTrace();
  });
  GoAcquire(1);
  Go(&scheduler_, [=, this] { scheduler_.Cancel(front); });
  RunToEnd();
  EXPECT_EQ(trace_, (std::vector<int>{1}));
  EXPECT_EQ(semaphore_.available(), 0);
}

TEST_P(SemaphoreTest, PermitsGivenAtTheDeadlineAreNotLost) {
  const int64_t deadline_ns = InMs(5);
  Go(&scheduler_, [=, this] {
    EXPECT_EQ(semaphore_.AcquireUntil(deadline_ns, 2), WaitResult::kDone);
    ExpectNoTrace();
  });
  GoJustAfterDeadline(deadline_ns, [this] { semaphore_.Release(2); });
  RunToEnd();
  EXPECT_EQ(semaphore_.available(), 0);
}

TEST_P(SemaphoreTest, PermitsGivenAfterACancelAreNotLost) {
  GreenThread* waiter = GoAcquire(1);
  Go(&scheduler_, [=, this] {
    scheduler_.Cancel(waiter);
    semaphore_.Release();
  });
  RunToEnd();
  EXPECT_EQ(trace_, (std::vector<int>{1}));
  EXPECT_EQ(semaphore_.available(), 0);
}

GREENRING_INSTANTIATE_SYNC_TEST(SemaphoreTest);

}  // namespace
}  // namespace greenring::green
