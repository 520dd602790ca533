#include "green/sync/select.h"

#include <map>
#include <memory>

#include "green/sync/sync_fixture.h"

namespace greenring::green {
namespace {

// For clauses that must not be taken.
constexpr auto kNever = [](auto&&...) { ADD_FAILURE() << "the wrong clause"; };

class SelectTest : public SyncTest {
 protected:
  Channel<int> a_, b_;
  Channel<int> full_{1}, room_{1};
  void SetUp() override { EXPECT_TRUE(full_.TrySend(1)); }
};

TEST_P(SelectTest, TakesTheOneCaseThatIsReady) {
  Go(&scheduler_, [this] {
    EXPECT_EQ(Select(OnReceive(&a_, kNever), OnSend(&full_, 9, kNever),
                     OnSend(&room_, 5, [this](bool sent) { trace_.push_back(sent ? 1 : 0); })),
              WaitResult::kDone);
    EXPECT_EQ(Select(OnReceive(&room_, [this](std::optional<int> value) { trace_.push_back(*value); }),
                     OnSend(&full_, 9, kNever), OnDeadline(InMs(1), kNever)),
              WaitResult::kDone);
    EXPECT_EQ(full_.size(), 1u);
  });
  RunToEnd();
  EXPECT_EQ(trace_, (std::vector<int>{1, 5}));
}

TEST_P(SelectTest, OtherwiseRunsWhenNothingIsReady) {
  Go(&scheduler_, [this] {
    const uint64_t switches = scheduler_.stats().switches;
    EXPECT_EQ(Select(OnReceive(&a_, kNever), OnSend(&full_, 9, kNever), Otherwise([this] { trace_.push_back(1); })),
              WaitResult::kDone);
    EXPECT_EQ(Select(OnReceive(&full_, [this](std::optional<int>) { trace_.push_back(2); }), Otherwise(kNever)),
              WaitResult::kDone);
    EXPECT_EQ(scheduler_.stats().switches, switches) << "it waited";
  });
  RunToEnd();
  EXPECT_EQ(trace_, (std::vector<int>{1, 2}));
}

TEST_P(SelectTest, WaitsForWhicheverCaseComesFirst) {
  for (int round = 0; round < 2; ++round) {
    Go(&scheduler_, [this] {
      EXPECT_EQ(Select(OnReceive(&a_, [this](std::optional<int> value) { trace_.push_back(*value); }),
                       OnSend(&b_, 20, [this](bool sent) { trace_.push_back(sent ? 20 : 0); })),
                WaitResult::kDone);
      ExpectNoTrace();
    });
  }
  Go(&scheduler_, [this] {
    EXPECT_TRUE(a_.TrySend(10));
    EXPECT_EQ(b_.TryReceive(), 20);
    EXPECT_FALSE(a_.TrySend(11)) << "both have left all lines";
    EXPECT_EQ(b_.TryReceive(), std::nullopt);
  });
  RunToEnd();
  EXPECT_EQ(trace_, (std::vector<int>{10, 20}));
}

TEST_P(SelectTest, OneAnswerTakesItOutOfEveryLineAtOnce) {
  Go(&scheduler_, [this] {
    Select(OnReceive(&a_, [this](std::optional<int> value) { trace_.push_back(*value); }), OnReceive(&b_, kNever));
  });
  Go(&scheduler_, [this] {
    EXPECT_TRUE(a_.TrySend(1));
    EXPECT_FALSE(b_.TrySend(2)) << "a value for a Select that had its value";
  });
  RunToEnd();
  EXPECT_EQ(trace_, (std::vector<int>{1}));
}

TEST_P(SelectTest, TwoSelectsMeet) {
  Go(&scheduler_, [this] { Select(OnReceive(&a_, kNever), OnSend(&b_, 3, [](bool sent) { EXPECT_TRUE(sent); })); });
  Go(&scheduler_, [this] {
    Select(OnSend(&full_, 3, kNever), OnReceive(&b_, [this](std::optional<int> value) { trace_.push_back(*value); }));
  });
  RunToEnd();
  EXPECT_EQ(trace_, (std::vector<int>{3}));
}

TEST_P(SelectTest, DoesNotMeetItself) {
  Go(&scheduler_, [this] {
    EXPECT_EQ(Select(OnSend(&a_, 1, kNever), OnReceive(&a_, kNever), OnDeadline(InMs(1), [] {})),
              WaitResult::kTimedOut);
  });
  RunToEnd();
}

TEST_P(SelectTest, ClosedChannelsAreReady) {
  a_.Close();
  Go(&scheduler_, [this] {
    EXPECT_EQ(Select(OnReceive(&a_, [](std::optional<int> value) { EXPECT_EQ(value, std::nullopt); }),
                     OnReceive(&b_, kNever)),
              WaitResult::kDone);
    EXPECT_EQ(Select(OnSend(&a_, 1, [](bool sent) { EXPECT_FALSE(sent); }), OnReceive(&b_, kNever)), WaitResult::kDone);
  });
  RunToEnd();
}

TEST_P(SelectTest, CloseWhileWaitingIsItsOwnCase) {
  Go(&scheduler_, [this] {
    EXPECT_EQ(Select(OnReceive(&a_, [](std::optional<int> value) { EXPECT_EQ(value, std::nullopt); }),
                     OnSend(&b_, 1, kNever)),
              WaitResult::kDone);
    EXPECT_EQ(Select(OnReceive(&full_, [](std::optional<int>) {})), WaitResult::kDone);
    EXPECT_EQ(Select(OnReceive(&full_, kNever), OnSend(&b_, 1, [](bool sent) { EXPECT_FALSE(sent); })),
              WaitResult::kDone);
  });
  Go(&scheduler_, [this] {
    a_.Close();
    scheduler_.Yield();
    b_.Close();
  });
  RunToEnd();
}

TEST_P(SelectTest, DeadlineEndsTheWaitAndLeavesEveryLine) {
  Go(&scheduler_, [this] {
    const int64_t deadline_ns = InMs(5);
    EXPECT_EQ(Select(OnReceive(&a_, kNever), OnSend(&full_, 2, kNever),
                     OnDeadline(deadline_ns, [this] { trace_.push_back(1); })),
              WaitResult::kTimedOut);
    EXPECT_EQ(now_ns(), deadline_ns);
    EXPECT_FALSE(a_.TrySend(1));
    EXPECT_EQ(full_.TryReceive(), 1);
    EXPECT_EQ(full_.TryReceive(), std::nullopt);
    ExpectNoTrace();
  });
  RunToEnd();
  EXPECT_EQ(trace_, (std::vector<int>{1}));
}

TEST_P(SelectTest, CancelEndsTheWaitAndCallsNothing) {
  GreenThread* waiter = Go(&scheduler_, [this] {
    EXPECT_EQ(Select(OnReceive(&a_, kNever), OnDeadline(InMs(5), kNever)), WaitResult::kCancelled);
    scheduler_.ClearCancel();
    EXPECT_FALSE(a_.TrySend(1));
    ExpectNoTrace();
  });
  Go(&scheduler_, [=, this] { scheduler_.Cancel(waiter); });
  RunToEnd();
}

TEST_P(SelectTest, ValueHandedOverAtTheDeadlineIsNotLost) {
  const int64_t deadline_ns = InMs(5);
  Go(&scheduler_, [=, this] {
    EXPECT_EQ(Select(OnReceive(&a_, [this](std::optional<int> value) { trace_.push_back(*value); }),
                     OnReceive(&b_, kNever), OnDeadline(deadline_ns, kNever)),
              WaitResult::kDone);
    ExpectNoTrace();
  });
  GoJustAfterDeadline(deadline_ns, [this] { EXPECT_TRUE(a_.TrySend(7)); });
  RunToEnd();
  EXPECT_EQ(trace_, (std::vector<int>{7}));
}

TEST_P(SelectTest, NullChannelIsNeverReady) {
  Channel<int>* const none = nullptr;
  Go(&scheduler_, [=, this] {
    EXPECT_EQ(Select(OnReceive(none, kNever), OnSend(none, 1, kNever), OnDeadline(InMs(1), [] {})),
              WaitResult::kTimedOut);
    EXPECT_EQ(Select(OnReceive(none, kNever), OnReceive(&full_, [](std::optional<int> value) { EXPECT_EQ(value, 1); })),
              WaitResult::kDone);
  });
  RunToEnd();
}

TEST_P(SelectTest, WithoutCasesItWaitsForTheDeadline) {
  Go(&scheduler_, [this] {
    const int64_t deadline_ns = InMs(5);
    EXPECT_EQ(Select(OnDeadline(deadline_ns, [] {})), WaitResult::kTimedOut);
    EXPECT_EQ(now_ns(), deadline_ns);
  });
  RunToEnd();
}

TEST_P(SelectTest, ReadyCasesHaveEqualChances) {
  Channel<int> first(1), second(1), third(1);
  std::map<int, int> taken;
  constexpr int kRounds = 9000;
  Go(&scheduler_, [&] {
    for (int round = 0; round < kRounds; ++round) {
      first.TrySend(1);
      second.TrySend(2);
      third.TrySend(3);
      const auto count = [&](std::optional<int> value) { ++taken[*value]; };
      Select(OnReceive(&a_, kNever), OnReceive(&first, count), OnReceive(&second, count), OnReceive(&third, count));
    }
  });
  RunToEnd();
  // Five standard deviations of a fair draw are 224.
  for (int channel = 1; channel <= 3; ++channel) EXPECT_NEAR(taken[channel], kRounds / 3, 224) << channel;
}

TEST_P(SelectTest, MoveOnlyValuesPassAndTheFunctionMayPark) {
  Channel<std::unique_ptr<int>> boxes;
  Go(&scheduler_, [&] {
    Select(OnReceive(&boxes, [this](std::optional<std::unique_ptr<int>> box) {
      SleepMs(1);
      trace_.push_back(**box);
    }));
  });
  Go(&scheduler_, [&] { Select(OnSend(&boxes, std::make_unique<int>(4), [](bool sent) { EXPECT_TRUE(sent); })); });
  RunToEnd();
  EXPECT_EQ(trace_, (std::vector<int>{4}));
}

GREENRING_INSTANTIATE_SYNC_TEST(SelectTest);

}  // namespace
}  // namespace greenring::green
