// The client's disconnect, and the drain, in every order with the response's own end.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "worker/request_end_fixture.h"

namespace greenring::worker {
namespace {

// The client's disconnect.

TEST_F(RequestEndTest, DisconnectIsNoBusinessOfTheApplicationByDefault) {
  StartWith(0);
  SleepAndReply(kSecond);
  const int closed = Connect(), reset = Connect();
  for (int peer : {closed, reset}) Exchanged(peer, kGet);
  ring_.PeerClose(closed);
  ring_.PeerReset(reset);
  Run(2 * kSecond);
  EXPECT_EQ(reasons_, Reasons{});
  EXPECT_EQ(runs_, 2);
  ring_.PeerClose(reset);
}

TEST_F(RequestEndTest, DisconnectEndsTheRequestWhereItIsWanted) {
  StartWith(0, /*cancel_on_disconnect=*/true);
  SleepAndReply(60 * kSecond);
  const int closed = Connect(), reset = Connect(), half_closed = Connect();
  for (int peer : {closed, reset, half_closed}) Exchanged(peer, kGet);
  ring_.PeerClose(closed);
  ring_.PeerReset(reset);
  ring_.PeerShutdown(half_closed);
  Run();
  EXPECT_EQ(reasons_, (Reasons{CutShort::kDisconnected, CutShort::kDisconnected, CutShort::kDisconnected}));
  EXPECT_EQ(ring_.PeerRead(half_closed), "") << "nothing is sent any more";
  EXPECT_EQ(service_->connection_count(), 0u);
  for (int peer : {reset, half_closed}) ring_.PeerClose(peer);
}

TEST_F(RequestEndTest, ApplicationCanWantItLaterAndIsToldOfWhatHasHappened) {
  StartWith(0);
  app_ = [&](HttpExchange* exchange) {
    const Interruptee interruptee(this, exchange);
    scheduler_->Park(clock_.NowNs() + kSecond);
    EXPECT_EQ(reasons_, Reasons{});
    exchange->SetCancelOnDisconnect(true);
    EXPECT_EQ(reasons_, Reasons{CutShort::kDisconnected});
    exchange->SetCancelOnDisconnect(true);
  };
  const int peer = Connect();
  Exchanged(peer, kGet);
  ring_.PeerClose(peer);
  Run(2 * kSecond);
  EXPECT_EQ(reasons_, Reasons{CutShort::kDisconnected});
}

TEST_F(RequestEndTest, ApplicationCanDeclineIt) {
  StartWith(0, /*cancel_on_disconnect=*/true);
  app_ = [&](HttpExchange* exchange) {
    const Interruptee interruptee(this, exchange);
    exchange->SetCancelOnDisconnect(false);
    scheduler_->Park(clock_.NowNs() + kSecond);
    ++runs_;
  };
  const int peer = Connect();
  Exchanged(peer, kGet);
  ring_.PeerClose(peer);
  Run(2 * kSecond);
  EXPECT_EQ(reasons_, Reasons{});
  EXPECT_EQ(runs_, 1);
}

TEST_F(RequestEndTest, RequestWhoseClientIsGoneBeforeACoreIsFreeNeverRuns) {
  StartWith(0, /*cancel_on_disconnect=*/true, {.cores_max = 1});
  SleepAndReply(kSecond);
  const int busy = Connect(), gone = Connect(), last = Connect();
  for (int peer : {busy, gone, last}) Exchanged(peer, kGet);
  EXPECT_EQ(cores_->queue_depth(), 2u);
  ring_.PeerClose(gone);
  Run();
  EXPECT_EQ(cores_->queue_depth(), 1u);
  EXPECT_EQ(service_->connection_count(), 2u);
  Run(2 * kSecond);
  EXPECT_EQ(runs_, 2);
  ExpectDone(ring_.PeerRead(last));
  for (int peer : {busy, last}) ring_.PeerClose(peer);
}

TEST_F(RequestEndTest, PipelinedRequestBehindADisconnectNeverRuns) {
  StartWith(0, /*cancel_on_disconnect=*/true);
  app_ = [&](HttpExchange* exchange) {
    ++runs_;
    const Interruptee interruptee(this, exchange);
    exchange->SetCancelOnDisconnect(false);  // of this request only
    scheduler_->Park(clock_.NowNs() + kSecond);
    ReplyAsPyhost(exchange);
  };
  const int peer = Connect();
  ring_.PeerWrite(peer, std::string(kGet) + std::string(kGet));
  Run();
  ring_.PeerShutdown(peer);
  Run(3 * kSecond);
  ExpectDone(ring_.PeerRead(peer));
  EXPECT_EQ(runs_, 1);
  EXPECT_TRUE(ring_.PeerSeesEnd(peer));
  ring_.PeerClose(peer);
}

TEST_F(RequestEndTest, DisconnectBetweenRequestsHarmsNobody) {
  StartWith(kSecond, /*cancel_on_disconnect=*/true);
  const int idle = Connect(), reading = Connect(), skipping = Connect();
  app_ = [&](HttpExchange* exchange) {
    const Interruptee interruptee(this, exchange);
    ReplyAsPyhost(exchange);
  };
  ExpectDone(Exchanged(idle, kGet));
  EXPECT_EQ(Exchanged(reading, "GET / HT"), "");
  ExpectDone(Exchanged(skipping, kUpload));
  for (int peer : {idle, reading, skipping}) ring_.PeerClose(peer);
  Run();
  EXPECT_EQ(service_->connection_count(), 0u);
  EXPECT_EQ(reasons_, Reasons{});
}

TEST_F(RequestEndTest, DisconnectWithinCloseIsNotTold) {
  StartWith(0, /*cancel_on_disconnect=*/true);
  app_ = [&](HttpExchange* exchange) {
    const Interruptee interruptee(this, exchange);
    ReplyAsPyhost(exchange);
    exchange->BeginClose();
    EXPECT_EQ(scheduler_->Park(clock_.NowNs() + kSecond), green::ParkResult::kTimedOut);
    ++runs_;
  };
  const int peer = Connect();
  ExpectDone(Exchanged(peer, kGet));
  ring_.PeerClose(peer);
  Run(2 * kSecond);
  EXPECT_EQ(runs_, 1);
  EXPECT_EQ(reasons_, Reasons{});
}

TEST_F(RequestEndTest, OneWhoIgnoresTheDisconnectStillHasADeadline) {
  StartWith(kSecond, /*cancel_on_disconnect=*/true);
  app_ = [&](HttpExchange* exchange) {
    const Interruptee interruptee(this, exchange);
    Swallow(clock_.NowNs() + 10 * kSecond);
    EXPECT_EQ(exchange->cut_short(), CutShort::kDisconnected);
  };
  const int peer = Connect();
  Exchanged(peer, kGet);
  ring_.PeerClose(peer);
  Run(3 * kSecond);
  EXPECT_EQ(reasons_, (Reasons{CutShort::kDisconnected, CutShort::kTimedOut}));
  EXPECT_EQ(overdue_, 1);
  Run(10 * kSecond);
}

// The drain.

TEST_F(RequestEndTest, AbortAllInterruptsWhatRunsAndDropsWhatWaits) {
  StartWith(0, false, {.cores_max = 1});
  SleepAndReply(60 * kSecond);
  const int busy = Connect(), queued = Connect();
  for (int peer : {busy, queued}) Exchanged(peer, kGet);
  EXPECT_EQ(service_->AbortAll(), 2u);
  Run();
  EXPECT_EQ(reasons_, Reasons{CutShort::kDraining});
  EXPECT_EQ(runs_, 1);
  EXPECT_EQ(service_->connection_count(), 0u);
  for (int peer : {busy, queued}) ring_.PeerClose(peer);
}

TEST_F(RequestEndTest, AbortAllAfterOneIsOverdueEndsCleanly) {
  StartWith(kSecond);
  app_ = [&](HttpExchange* exchange) {
    const Interruptee interruptee(this, exchange);
    Swallow(clock_.NowNs() + 10 * kSecond);
  };
  const int peer = Connect();
  ExpectTimedOut(Exchanged(peer, kGet, 4 * kSecond));
  EXPECT_EQ(service_->AbortAll(), 1u);
  EXPECT_EQ(reasons_, (Reasons{CutShort::kTimedOut, CutShort::kDraining}));
  Run(10 * kSecond);
  EXPECT_EQ(service_->connection_count(), 0u);
  ring_.PeerClose(peer);
}

}  // namespace
}  // namespace greenring::worker
