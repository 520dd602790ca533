#include "worker/http_statistics.h"

#include <cstdint>
#include <map>
#include <string>

#include "gtest/gtest.h"
#include "pyhost/exchange.h"
#include "worker/http_service.h"
#include "worker/request_end_fixture.h"

namespace greenring::worker {
namespace {

using Statuses = std::map<int, uint64_t>;

Statuses StatusesOf(const HttpStatistics& statistics) {
  Statuses statuses;
  statistics.ForEachStatus([&](int status, uint64_t count) { statuses[status] = count; });
  return statuses;
}

TEST(HttpStatisticsTest, EachEndIsCountedByItsStatusAndReason) {
  HttpStatistics statistics;
  statistics.OnEnded({.status = 200, .ran = true, .run_ns = 5000});
  statistics.OnEnded({.status = 0, .ran = true, .run_ns = 1, .cut_short = CutShort::kDisconnected});
  statistics.OnEnded({.status = 504, .ran = true, .run_ns = 1, .cut_short = CutShort::kTimedOut});
  statistics.OnEnded({.status = 503, .ran = true, .run_ns = 1, .cut_short = CutShort::kCancelled});
  statistics.OnRefused(400);
  statistics.OnEnded({.status = 70'000, .ran = false});
  EXPECT_EQ(StatusesOf(statistics),
            (Statuses{{200, 1}, {400, 1}, {kStatusClientGone, 1}, {503, 1}, {504, 1}, {999, 1}}));
  EXPECT_EQ(statistics.requests(), 6u);
  EXPECT_EQ(statistics.timed_out(), 1u);
  EXPECT_EQ(statistics.cancelled(), 2u);
  EXPECT_EQ(statistics.run_time().count(), 4) << "what never ran has no time";
}

TEST(HttpStatisticsTest, GenerationsAreToldByTheirNumbersTheNewestFirst) {
  HttpStatistics statistics;
  for (const int64_t generation : {3, 1, 2, 3, 1}) {
    statistics.OnEnded({.status = generation == 3 ? 500 : 200, .ran = true, .run_ns = 1, .generation = generation});
  }
  ASSERT_EQ(statistics.generations().size(), 3u);
  EXPECT_EQ(statistics.generations()[0].generation, 3);
  EXPECT_EQ(statistics.generations()[0].requests, 2u);
  EXPECT_EQ(statistics.generations()[0].errors, 2u);
  EXPECT_EQ(statistics.generations()[1].generation, 2);
  EXPECT_EQ(statistics.generations()[2].requests, 2u);
  EXPECT_EQ(statistics.generations()[2].errors, 0u);
  EXPECT_EQ(statistics.generations()[2].run_time.count(), 2);
}

TEST(HttpStatisticsTest, OnlyTheNewestGenerationsAreKept) {
  HttpStatistics statistics;
  constexpr int64_t kCount = HttpStatistics::kGenerationsMax + 5;
  for (int64_t i = 0; i < kCount; ++i) statistics.OnEnded({.status = 200, .ran = true, .run_ns = 1, .generation = i});
  ASSERT_EQ(statistics.generations().size(), HttpStatistics::kGenerationsMax);
  EXPECT_EQ(statistics.generations().front().generation, kCount - 1);
  statistics.OnEnded({.status = 200, .ran = true, .run_ns = 1, .generation = 0});
  EXPECT_EQ(statistics.generations().size(), HttpStatistics::kGenerationsMax);
  EXPECT_EQ(statistics.generations().back().generation, 0);
}

class ServiceStatisticsTest : public RequestEndTest {
 protected:
  const HttpStatistics& statistics() const { return service_->statistics(); }
};

TEST_F(ServiceStatisticsTest, TimeInTheQueueAndTimeOnACoreAreToldApart) {
  Start({.cores_max = 1});
  SleepAndReply(300 * kMs);
  const int first = Connect(), second = Connect();
  ring_.PeerWrite(first, kGet);
  ring_.PeerWrite(second, kGet);
  Run(kSecond);
  EXPECT_EQ(statistics().requests(), 2u);
  EXPECT_EQ(statistics().queue_wait().count(), 2);
  EXPECT_EQ(statistics().queue_wait().sum_ns(), 300 * kMs) << "one waited for the other";
  EXPECT_EQ(statistics().run_time().count(), 2);
  EXPECT_EQ(statistics().run_time().sum_ns(), 600 * kMs);
  ring_.PeerClose(first);
  ring_.PeerClose(second);
}

TEST_F(ServiceStatisticsTest, WhatIsRefusedOrTimesOutIsCountedOnce) {
  StartWith(kSecond, false, {.cores_max = 1, .queue_depth_max = 1});
  SleepAndReply(5 * kSecond);
  std::vector<int> peers;
  for (int i = 0; i < 3; ++i) {
    peers.push_back(Connect());
    ring_.PeerWrite(peers.back(), kGet);
  }
  Run(2 * kSecond);  // the deadlines are due in one turn
  EXPECT_EQ(statistics().refused(), 1u);
  EXPECT_EQ(statistics().timed_out(), 2u) << "on a core, and in the queue";
  EXPECT_EQ(StatusesOf(statistics()), (Statuses{{503, 1}, {504, 2}}));
  EXPECT_EQ(statistics().requests(), 3u);
  EXPECT_EQ(statistics().run_time().count(), 1);
  EXPECT_EQ(statistics().accepted(), 3u);
  for (const int peer : peers) ring_.PeerClose(peer);
}

TEST_F(ServiceStatisticsTest, ARequestThatOutlivesItsGraceIsCountedWhenItIsGivenUp) {
  StartWith(kSecond);
  app_ = [this](HttpExchange* exchange) {
    const Interruptee interruptee(this, exchange);
    Swallow(10 * kSecond);
    ReplyAsPyhost(exchange);
  };
  const int peer = Connect();
  Exchanged(peer, kGet, 4 * kSecond);
  EXPECT_EQ(statistics().requests(), 1u);
  Run(10 * kSecond);
  EXPECT_EQ(statistics().requests(), 1u);
  EXPECT_EQ(statistics().timed_out(), 1u);
  ring_.PeerClose(peer);
}

TEST_F(ServiceStatisticsTest, ARequestWhoseClientLeavesInTheQueueIsCancelled) {
  StartWith(kNeverNs, /*cancel_on_disconnect=*/true, {.cores_max = 1});
  SleepAndReply(kSecond);
  const int first = Connect(), second = Connect();
  Exchanged(first, kGet);
  Exchanged(second, kGet);
  ring_.PeerClose(second);
  Run(2 * kSecond);
  EXPECT_EQ(statistics().cancelled(), 1u);
  EXPECT_EQ(StatusesOf(statistics()), (Statuses{{200, 1}, {kStatusClientGone, 1}}));
  ring_.PeerClose(first);
}

TEST_F(ServiceStatisticsTest, BytesAreThoseOfTheConnections) {
  Start();
  const int peer = Connect();
  const std::string response = Exchanged(peer, kGet);
  Exchanged(peer, kGet);
  EXPECT_EQ(loop_->stats().bytes_received, 2 * kGet.size());
  EXPECT_EQ(loop_->stats().bytes_sent, 2 * response.size());
  ring_.PeerClose(peer);
}

TEST_F(ServiceStatisticsTest, TheObserverIsToldOnceOfARequestLimit) {
  Start();
  service_->SetRequestLimit(3);
  const int peer = Connect();
  for (const int expected : {0, 0, 1, 1}) {
    Exchanged(peer, kGet);
    EXPECT_EQ(request_limits_, expected);
  }
  service_->SetRequestLimit(2);  // has passed already
  Exchanged(peer, kGet);
  EXPECT_EQ(request_limits_, 2);
  ring_.PeerClose(peer);
}

}  // namespace
}  // namespace greenring::worker
