#include "green/sync/wait_group.h"

#include "green/sync/sync_fixture.h"

namespace greenring::green {
namespace {

class WaitGroupTest : public SyncTest {
 protected:
  WaitGroup group_;
};

TEST_P(WaitGroupTest, WaitEndsWhenTheLastIsDone) {
  for (int i = 1; i <= 3; ++i) {
    group_.Add();
    Go(&scheduler_, [this, i] {
      SleepMs(i);
      trace_.push_back(i);
      group_.Done();
    });
  }
  for (int i = 0; i < 2; ++i) {
    Go(&scheduler_, [this] {
      EXPECT_EQ(group_.Wait(), WaitResult::kDone);
      trace_.push_back(0);
    });
  }
  RunToEnd();
  EXPECT_EQ(trace_, (std::vector<int>{1, 2, 3, 0, 0}));
}

TEST_P(WaitGroupTest, EmptyGroupNeedsNoWaitAndIsReusable) {
  Go(&scheduler_, [this] {
    for (int round = 0; round < 2; ++round) {
      EXPECT_EQ(group_.Wait(), WaitResult::kDone);
      group_.Add(2);
      Go([this] { group_.Done(); });
      Go([this] { group_.Done(); });
      EXPECT_EQ(group_.count(), 2);
      EXPECT_EQ(group_.Wait(), WaitResult::kDone);
      EXPECT_EQ(group_.count(), 0);
    }
  });
  RunToEnd();
}

TEST_P(WaitGroupTest, WaitEndsByDeadlineOrCancel) {
  group_.Add();
  GreenThread* waiter = Go(&scheduler_, [this] {
    EXPECT_EQ(group_.WaitUntil(InMs(2)), WaitResult::kTimedOut);
    EXPECT_EQ(group_.Wait(), WaitResult::kCancelled);
    scheduler_.ClearCancel();
    group_.Done();
    ExpectNoTrace();
  });
  Go(&scheduler_, [=, this] {
    SleepMs(4);
    scheduler_.Cancel(waiter);
  });
  RunToEnd();
}

TEST_P(WaitGroupTest, LastDoneAtTheDeadlineWins) {
  const int64_t deadline_ns = InMs(5);
  group_.Add();
  Go(&scheduler_, [=, this] {
    EXPECT_EQ(group_.WaitUntil(deadline_ns), WaitResult::kDone);
    ExpectNoTrace();
  });
  GoJustAfterDeadline(deadline_ns, [this] { group_.Done(); });
  RunToEnd();
}

TEST_P(WaitGroupTest, MoreDoneThanAddIsCaught) { EXPECT_DEATH(group_.Done(), "more Done than Add"); }

GREENRING_INSTANTIATE_SYNC_TEST(WaitGroupTest);

}  // namespace
}  // namespace greenring::green
