#include "worker/statistics_collector.h"

#include <memory>

#include "base/histogram.h"
#include "google/protobuf/repeated_field.h"
#include "green/scoped_wait.h"
#include "gtest/gtest.h"
#include "worker/request_end_fixture.h"

namespace greenring::worker {
namespace {

namespace v1 = control::v1;

class StatisticsCollectorTest : public RequestEndTest {
 protected:
  void StartCollected(CoreSettings cores = {}) {
    Start(cores);
    collector_ =
        std::make_unique<StatisticsCollector>(StatisticsCollector::Sources{.service = service_.get(),
                                                                           .cores = cores_.get(),
                                                                           .scheduler = scheduler_.get(),
                                                                           .loop = loop_.get(),
                                                                           .gil_wait = &gil_wait_,
                                                                           .preemptions = [] { return uint64_t{7}; }});
  }

  v1::Statistics Collected() {
    v1::Statistics statistics;
    collector_->Collect(&statistics);
    return statistics;
  }

  Histogram gil_wait_;
  std::unique_ptr<StatisticsCollector> collector_;
};

TEST_F(StatisticsCollectorTest, TellsWhatEverybodyHasCounted) {
  StartCollected({.cores_max = 1});
  app_ = [this](HttpExchange* exchange) {
    const green::ScopedWait noted(scheduler_->current(), {.call = "recv"});
    scheduler_->Park(clock_.NowNs() + kSecond);
    Reply(exchange, "done");
  };
  gil_wait_.Record(5000);
  const int first = Connect(), second = Connect();
  Exchanged(first, kGet);
  Exchanged(second, kGet);
  v1::Statistics now = Collected();
  EXPECT_EQ(now.cores(), 1);
  EXPECT_EQ(now.cores_busy(), 1);
  EXPECT_EQ(now.queue_depth(), 1);
  EXPECT_EQ(now.connections(), 2);
  EXPECT_GT(now.rss_bytes(), 1 << 20);
  EXPECT_GT(now.cpu_ns(), 0);
  EXPECT_EQ(now.requests(), 0);
  EXPECT_EQ(now.queue_wait().count(), 1);
  EXPECT_EQ(now.preemptions(), 7);
  EXPECT_EQ(now.gil_wait().count(), 1);

  Run(5 * kSecond);
  now = Collected();
  EXPECT_EQ(now.cores_busy(), 0);
  EXPECT_EQ(now.queue_depth(), 0);
  EXPECT_EQ(now.requests(), 2);
  EXPECT_EQ(now.responses_by_status().at(200), 2);
  EXPECT_EQ(now.responses_by_status_size(), 1);
  EXPECT_EQ(now.connections_accepted(), 2);
  EXPECT_EQ(now.bytes_received(), static_cast<int64_t>(2 * kGet.size()));
  EXPECT_GT(now.bytes_sent(), 0);
  EXPECT_EQ(now.parks_by_call().at("recv"), 2);
  EXPECT_EQ(now.parks_by_call_size(), 1) << "to be idle is no wait";
  EXPECT_GT(now.switches(), 0);
  EXPECT_GT(now.turns(), 0);
  EXPECT_EQ(now.run_time().count(), 2);
  EXPECT_EQ(now.run_time().sum_ns(), 2 * kSecond);
  EXPECT_GT(now.loop_lag().count(), 0);
  ring_.PeerClose(first);
  ring_.PeerClose(second);
}

TEST_F(StatisticsCollectorTest, TheLoopsLagIsTheTimeThatItIsAway) {
  StartCollected();
  app_ = [this](HttpExchange* exchange) {
    clock_.AdvanceTo(clock_.NowNs() + 70 * kMs);  // computes
    Reply(exchange, "done");
  };
  const int peer = Connect();
  Exchanged(peer, kGet);
  const v1::Histogram lag = Collected().loop_lag();
  EXPECT_EQ(lag.sum_ns(), 70 * kMs);
  ASSERT_EQ(lag.buckets_size(), static_cast<int>(Histogram::BucketOf(70 * kMs)) + 1);
  EXPECT_EQ(lag.buckets(lag.buckets_size() - 1), 1);
  ring_.PeerClose(peer);
}

TEST_F(StatisticsCollectorTest, StacksAreLookedAtNowAndThen) {
  StartCollected();
  const int64_t at_first = Collected().stack_deepest_bytes();
  const int peer = Connect();
  Exchanged(peer, kGet);
  EXPECT_EQ(Collected().stack_deepest_bytes(), at_first);
  Run(StatisticsCollector::kStackLookNs);
  EXPECT_GT(Collected().stack_deepest_bytes(), at_first);
  ring_.PeerClose(peer);
}

TEST_F(StatisticsCollectorTest, GenerationsHaveTheirOwnFigures) {
  StartCollected();
  const int peer = Connect();
  Exchanged(peer, kGet);
  google::protobuf::RepeatedPtrField<v1::GenerationStatistics> generations;
  collector_->CollectGenerations(&generations);
  ASSERT_EQ(generations.size(), 1);
  EXPECT_EQ(generations[0].requests(), 1);
  EXPECT_EQ(generations[0].errors(), 0);
  EXPECT_EQ(generations[0].run_time().count(), 1);
  ring_.PeerClose(peer);
}

}  // namespace
}  // namespace greenring::worker
