#include "green/sync/event.h"

#include "green/sync/sync_fixture.h"

namespace greenring::green {
namespace {

class EventTest : public SyncTest {
 protected:
  Event event_;
};

TEST_P(EventTest, SetWakesEveryWaiterInTheOrderOfTheirWaits) {
  for (int i = 0; i < 3; ++i) {
    Go(&scheduler_, [this, i] {
      EXPECT_EQ(event_.Wait(), WaitResult::kDone);
      trace_.push_back(i);
    });
  }
  Go(&scheduler_, [this] {
    EXPECT_TRUE(trace_.empty());
    event_.Set();
  });
  RunToEnd();
  EXPECT_EQ(trace_, (std::vector<int>{0, 1, 2}));
}

TEST_P(EventTest, WaitDoesNotParkWhileItIsSet) {
  event_.Set();
  event_.Set();
  EXPECT_TRUE(event_.is_set());
  Go(&scheduler_, [this] {
    const uint64_t switches = scheduler_.stats().switches;
    EXPECT_EQ(event_.Wait(), WaitResult::kDone);
    EXPECT_EQ(event_.WaitUntil(0), WaitResult::kDone);
    EXPECT_EQ(scheduler_.stats().switches, switches);
  });
  RunToEnd();
}

TEST_P(EventTest, ResetMakesLaterWaitsWaitButKeepsNobodyBack) {
  Go(&scheduler_, [this] { EXPECT_EQ(event_.Wait(), WaitResult::kDone); });
  Go(&scheduler_, [this] {
    event_.Set();
    event_.Reset();
    EXPECT_EQ(event_.WaitUntil(InMs(1)), WaitResult::kTimedOut);
  });
  RunToEnd();
}

TEST_P(EventTest, WaitEndsAtItsDeadline) {
  Go(&scheduler_, [this] {
    const int64_t deadline_ns = InMs(5);
    EXPECT_EQ(event_.WaitUntil(deadline_ns), WaitResult::kTimedOut);
    EXPECT_EQ(now_ns(), deadline_ns);
    event_.Set();
    ExpectNoTrace();
  });
  RunToEnd();
}

TEST_P(EventTest, CancelEndsTheWait) {
  GreenThread* waiter = Go(&scheduler_, [this] {
    EXPECT_EQ(event_.Wait(), WaitResult::kCancelled);
    scheduler_.ClearCancel();
    event_.Set();
    ExpectNoTrace();
  });
  Go(&scheduler_, [=, this] { scheduler_.Cancel(waiter); });
  RunToEnd();
}

TEST_P(EventTest, SetAtTheDeadlineWins) {
  const int64_t deadline_ns = InMs(5);
  Go(&scheduler_, [=, this] {
    EXPECT_EQ(event_.WaitUntil(deadline_ns), WaitResult::kDone);
    ExpectNoTrace();
  });
  GoJustAfterDeadline(deadline_ns, [this] { event_.Set(); });
  RunToEnd();
}

TEST_P(EventTest, PermitsOfOthersDoNotEndTheWait) {
  GreenThread* waiter = Go(&scheduler_, [this] {
    EXPECT_EQ(event_.WaitUntil(InMs(10)), WaitResult::kDone);
    EXPECT_TRUE(event_.is_set());
  });
  Go(&scheduler_, [=, this] {
    for (int i = 0; i < 3; ++i) {
      scheduler_.Unpark(waiter);
      SleepMs(1);
    }
    event_.Set();
  });
  RunToEnd();
}

TEST_P(EventTest, SetInTheLoopsContextWakes) {
  struct Alarm : Timer {
    explicit Alarm(Event* event) : Timer([](Timer* self) { static_cast<Alarm*>(self)->event->Set(); }), event(event) {}
    Event* const event;
  } alarm(&event_);
  scheduler_.AddTimer(&alarm, InMs(3));
  Go(&scheduler_, [this] { EXPECT_EQ(event_.WaitUntil(InMs(10)), WaitResult::kDone); });
  RunToEnd();
}

GREENRING_INSTANTIATE_SYNC_TEST(EventTest);

}  // namespace
}  // namespace greenring::green
