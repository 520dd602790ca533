#include "green/sync/channel.h"

#include <memory>
#include <string>

#include "green/sync/sync_fixture.h"
#include "green/sync/wait_group.h"

namespace greenring::green {
namespace {

class ChannelTest : public SyncTest {
 protected:
  Channel<int> direct_;  // unbuffered
  Channel<int> buffered_{2};
};

TEST_P(ChannelTest, UnbufferedSendWaitsForItsReceiver) {
  Go(&scheduler_, [this] {
    EXPECT_TRUE(direct_.Send(7));
    trace_.push_back(2);
  });
  Go(&scheduler_, [this] {
    trace_.push_back(1);
    EXPECT_EQ(direct_.Receive(), 7);
  });
  RunToEnd();
  EXPECT_EQ(trace_, (std::vector<int>{1, 2}));
}

TEST_P(ChannelTest, SendGoesStraightToAReceiverThatWaits) {
  Go(&scheduler_, [this] {
    EXPECT_EQ(direct_.Receive(), 1);
    EXPECT_EQ(buffered_.Receive(), 2);
  });
  Go(&scheduler_, [this] {
    const uint64_t switches = scheduler_.stats().switches;
    EXPECT_TRUE(direct_.Send(1));
    EXPECT_EQ(scheduler_.stats().switches, switches) << "the sender had nobody to wait for";
    scheduler_.Yield();
    EXPECT_TRUE(buffered_.Send(2));
    EXPECT_EQ(buffered_.size(), 0u);
  });
  RunToEnd();
}

TEST_P(ChannelTest, BufferedSendWaitsOnlyWhileTheBufferIsFull) {
  Go(&scheduler_, [this] {
    for (int i = 0; i < 4; ++i) {
      EXPECT_TRUE(buffered_.Send(i));
      trace_.push_back(i);
    }
  });
  Go(&scheduler_, [this] {
    EXPECT_EQ(trace_, (std::vector<int>{0, 1}));
    EXPECT_EQ(buffered_.size(), 2u);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(buffered_.Receive(), i);
  });
  RunToEnd();
}

TEST_P(ChannelTest, ValuesOfWaitingSendersKeepTheirPlaceBehindTheBuffer) {
  for (int i = 0; i < 6; ++i) Go(&scheduler_, [this, i] { EXPECT_TRUE(buffered_.Send(i)); });
  Go(&scheduler_, [this] {
    for (int i = 0; i < 6; ++i) EXPECT_EQ(buffered_.TryReceive(), i);
    EXPECT_EQ(buffered_.TryReceive(), std::nullopt);
  });
  RunToEnd();
}

TEST_P(ChannelTest, ReceiversAreServedInTheOrderOfTheirWaits) {
  for (int i = 0; i < 3; ++i) Go(&scheduler_, [this, i] { EXPECT_EQ(direct_.Receive(), i); });
  Go(&scheduler_, [this] {
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(direct_.Send(i));
  });
  RunToEnd();
}

TEST_P(ChannelTest, BufferWrapsAroundWithoutLoss) {
  Channel<std::string> channel(3);
  Go(&scheduler_, [&] {
    for (int i = 0; i < 50; ++i) EXPECT_TRUE(channel.Send(std::string(30, 'a' + i % 26)));
    channel.Close();
  });
  Go(&scheduler_, [&] {
    int i = 0;
    for (std::string& value : channel) EXPECT_EQ(value, std::string(30, 'a' + i++ % 26));
    EXPECT_EQ(i, 50);
  });
  RunToEnd();
}

TEST_P(ChannelTest, MoveOnlyValuesPassOnEveryWay) {
  using Box = std::unique_ptr<int>;
  Channel<Box> direct, buffered(1);
  Go(&scheduler_, [&] {
    for (Channel<Box>* channel : {&direct, &buffered}) {
      for (int i = 0; i < 3; ++i) EXPECT_TRUE(channel->Send(std::make_unique<int>(i)));
      channel->Close();
    }
  });
  Go(&scheduler_, [&] {
    for (Channel<Box>* channel : {&direct, &buffered}) {
      for (Box& box : *channel) trace_.push_back(*box);
    }
  });
  RunToEnd();
  EXPECT_EQ(trace_, (std::vector<int>{0, 1, 2, 0, 1, 2}));
}

TEST_P(ChannelTest, BufferedValuesOutliveCloseThenReceiveEnds) {
  Go(&scheduler_, [this] {
    EXPECT_TRUE(buffered_.Send(1));
    EXPECT_TRUE(buffered_.Send(2));
    buffered_.Close();
    EXPECT_TRUE(buffered_.closed());
    EXPECT_FALSE(buffered_.Send(3));
    EXPECT_EQ(buffered_.Receive(), 1);
    EXPECT_EQ(buffered_.TryReceive(), 2);
    EXPECT_EQ(buffered_.Receive(), std::nullopt);
    std::optional<int> value = 9;
    EXPECT_EQ(buffered_.ReceiveUntil(&value, kNeverNs), WaitResult::kClosed);
    EXPECT_EQ(value, std::nullopt);
  });
  RunToEnd();
}

TEST_P(ChannelTest, CloseEndsTheWaitsOfReceiversAndSenders) {
  Channel<std::unique_ptr<int>> channel;
  Go(&scheduler_, [this] { EXPECT_EQ(direct_.Receive(), std::nullopt); });
  Go(&scheduler_, [&] {
    auto box = std::make_unique<int>(5);
    EXPECT_EQ(channel.SendUntil(std::move(box), kNeverNs), WaitResult::kClosed);
    ASSERT_NE(box, nullptr) << "what was not sent stays with the sender";
    EXPECT_EQ(*box, 5);
  });
  Go(&scheduler_, [&] {
    direct_.Close();
    channel.Close();
  });
  RunToEnd();
}

TEST_P(ChannelTest, TrySendAndTryReceiveNeverWait) {
  Go(&scheduler_, [this] {
    EXPECT_FALSE(direct_.TrySend(1)) << "nobody receives";
    EXPECT_EQ(direct_.TryReceive(), std::nullopt);
    EXPECT_TRUE(buffered_.TrySend(1));
    EXPECT_TRUE(buffered_.TrySend(2));
    EXPECT_FALSE(buffered_.TrySend(3)) << "full";
    EXPECT_EQ(buffered_.TryReceive(), 1);
    EXPECT_EQ(buffered_.TryReceive(), 2);
    buffered_.Close();
    EXPECT_FALSE(buffered_.TrySend(4));
    EXPECT_EQ(buffered_.TryReceive(), std::nullopt);
  });
  RunToEnd();
}

TEST_P(ChannelTest, WaitsEndAtTheirDeadlineAndLeaveTheLine) {
  Go(&scheduler_, [this] {
    std::optional<int> value;
    const int64_t first_ns = InMs(3), second_ns = InMs(5);
    EXPECT_EQ(direct_.ReceiveUntil(&value, first_ns), WaitResult::kTimedOut);
    EXPECT_EQ(now_ns(), first_ns);
    EXPECT_EQ(direct_.SendUntil(1, second_ns), WaitResult::kTimedOut);
    EXPECT_EQ(now_ns(), second_ns);
    EXPECT_FALSE(direct_.TrySend(1));
    EXPECT_EQ(direct_.TryReceive(), std::nullopt);
    ExpectNoTrace();
  });
  RunToEnd();
}

TEST_P(ChannelTest, CancelEndsWaitsAndNothingIsSent) {
  GreenThread* receiver = Go(&scheduler_, [this] {
    std::optional<int> value;
    EXPECT_EQ(direct_.ReceiveUntil(&value, kNeverNs), WaitResult::kCancelled);
    scheduler_.ClearCancel();
    ExpectNoTrace();
  });
  GreenThread* sender = Go(&scheduler_, [this] {
    EXPECT_TRUE(buffered_.TrySend(1));
    EXPECT_TRUE(buffered_.TrySend(2));
    EXPECT_EQ(buffered_.SendUntil(3, kNeverNs), WaitResult::kCancelled);
    EXPECT_FALSE(buffered_.Send(4)) << "the cancellation is still pending";
  });
  Go(&scheduler_, [=, this] {
    scheduler_.Cancel(receiver);
    scheduler_.Cancel(sender);
    scheduler_.Yield();
    EXPECT_EQ(buffered_.Receive(), 1);
    EXPECT_EQ(buffered_.Receive(), 2);
    EXPECT_EQ(buffered_.TryReceive(), std::nullopt);
  });
  RunToEnd();
}

TEST_P(ChannelTest, ValueHandedOverAtTheReceiversDeadlineIsNotLost) {
  const int64_t deadline_ns = InMs(5);
  Go(&scheduler_, [=, this] {
    std::optional<int> value;
    EXPECT_EQ(direct_.ReceiveUntil(&value, deadline_ns), WaitResult::kDone);
    EXPECT_EQ(value, 7);
    ExpectNoTrace();
  });
  GoJustAfterDeadline(deadline_ns, [this] { EXPECT_TRUE(direct_.TrySend(7)); });
  RunToEnd();
}

TEST_P(ChannelTest, ValueTakenAtTheSendersDeadlineIsSent) {
  const int64_t deadline_ns = InMs(5);
  Go(&scheduler_, [=, this] { EXPECT_EQ(direct_.SendUntil(7, deadline_ns), WaitResult::kDone); });
  GoJustAfterDeadline(deadline_ns, [this] { EXPECT_EQ(direct_.TryReceive(), 7); });
  RunToEnd();
}

TEST_P(ChannelTest, ValueHandedOverAfterACancelIsNotLost) {
  GreenThread* receiver = Go(&scheduler_, [this] { EXPECT_EQ(direct_.Receive(), 7); });
  Go(&scheduler_, [=, this] {
    scheduler_.Cancel(receiver);
    EXPECT_TRUE(direct_.TrySend(7));
  });
  RunToEnd();
}

TEST_P(ChannelTest, WhatIsBufferedIsDestroyedWithTheChannel) {
  auto shared = std::make_shared<int>(1);
  {
    Channel<std::shared_ptr<int>> channel(4);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(channel.TrySend(std::shared_ptr<int>(shared)));
    EXPECT_EQ(channel.TryReceive(), shared);
    EXPECT_EQ(shared.use_count(), 3);
  }
  EXPECT_EQ(shared.use_count(), 1);
}

// The concurrent sieve, Go's own first example: a chain of green threads, each the filter of one prime.
TEST_P(ChannelTest, ChainOfChannelsSievesPrimes) {
  Go(&scheduler_, [this] {
    std::vector<std::unique_ptr<Channel<int>>> chain;
    WaitGroup filters;
    const auto extend = [&](auto function) {
      filters.Add();
      chain.push_back(std::make_unique<Channel<int>>());
      Go([function, out = chain.back().get(), &filters] {
        function(out);
        filters.Done();
      });
    };
    extend([](Channel<int>* out) {
      for (int i = 2; out->Send(i);) ++i;
    });
    for (int i = 0; i < 20; ++i) {
      const int prime = *chain.back()->Receive();
      trace_.push_back(prime);
      extend([in = chain.back().get(), prime](Channel<int>* out) {
        for (int value : *in) {
          if (value % prime != 0 && !out->Send(value)) return;
        }
      });
    }
    for (auto& channel : chain) channel->Close();
    filters.Wait();
  });
  RunToEnd();
  EXPECT_EQ(trace_, (std::vector<int>{2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71}));
}

TEST_P(ChannelTest, ClosingTwiceIsCaught) {
  EXPECT_DEATH(
      {
        buffered_.Close();
        buffered_.Close();
      },
      "closed twice");
}

GREENRING_INSTANTIATE_SYNC_TEST(ChannelTest);

}  // namespace
}  // namespace greenring::green
