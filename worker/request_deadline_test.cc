// Deadlines, the grace and close(), in every order with the response's own end.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "worker/request_end_fixture.h"

namespace greenring::worker {
namespace {

// Deadlines.

TEST_F(RequestEndTest, RequestThatEndsInTimeIsNotInterruptedAndLeavesNoTimer) {
  StartWith(kSecond);
  SleepAndReply(kSecond - kMs);
  const int peer = Connect();
  ExpectDone(Exchanged(peer, kGet, kSecond));
  Run(10 * kSecond);
  EXPECT_EQ(reasons_, Reasons{});
  ring_.PeerClose(peer);
}

TEST_F(RequestEndTest, RequestIsInterruptedAtItsDeadlineAndAnswered504) {
  StartWith(kSecond);
  SleepAndReply(kSecond + kMs);
  const int peer = Connect();
  EXPECT_EQ(Exchanged(peer, kGet, kSecond - kMs), "");
  EXPECT_EQ(reasons_, Reasons{});
  Run(2 * kMs);
  ExpectTimedOut(ring_.PeerRead(peer));
  EXPECT_EQ(reasons_, Reasons{CutShort::kTimedOut});
  EXPECT_FALSE(ring_.PeerSeesEnd(peer)) << "a 504 does not end the connection";
  ring_.PeerClose(peer);
}

TEST_F(RequestEndTest, ResponseThatIsGivenInTheTurnOfTheDeadlineIsEitherWholeOr504) {
  StartWith(kSecond);
  SleepAndReply(kSecond);  // both timers are due in one turn
  for (int i = 0; i < 20; ++i) {
    const int peer = Connect();
    const std::string response = Exchanged(peer, kGet, kSecond + kMs);
    EXPECT_EQ(Count(response, "HTTP/1.1 "), 1u) << response;
    EXPECT_EQ(Contains(response, "HTTP/1.1 504 "), reasons_.size() == 1) << response;
    reasons_.clear();
    ring_.PeerClose(peer);
  }
}

TEST_F(RequestEndTest, EveryRequestOfAConnectionAndOfACoreHasADeadlineOfItsOwn) {
  StartWith(kSecond, false, {.cores_max = 1});
  SleepAndReply(700 * kMs);
  const int peer = Connect();
  for (int i = 0; i < 4; ++i) ExpectDone(Exchanged(peer, kGet, 701 * kMs));
  SleepAndReply(kSecond * 3 / 2);
  ExpectTimedOut(Exchanged(peer, kGet, kSecond + kMs));
  SleepAndReply(700 * kMs);
  ExpectDone(Exchanged(peer, kGet, 701 * kMs));
  EXPECT_EQ(reasons_.size(), 1u);
  EXPECT_EQ(cores_->live_count(), 1u);
  ring_.PeerClose(peer);
}

TEST_F(RequestEndTest, PipelinedRequestHasTheWholeTimeFromWhenItsPredecessorIsAnswered) {
  StartWith(kSecond);
  SleepAndReply(700 * kMs);
  const int peer = Connect();
  const std::string responses = Exchanged(peer, std::string(kGet) + std::string(kGet), kSecond * 3 / 2);
  EXPECT_EQ(Count(responses, "HTTP/1.1 200 "), 2u) << responses;
  EXPECT_EQ(reasons_, Reasons{});
  ring_.PeerClose(peer);
}

TEST_F(RequestEndTest, PathsHaveTheirOwnTimeouts) {
  HttpServiceOptions options;
  options.request_timeouts.Set("", kSecond);
  options.request_timeouts.Set("/a", 3 * kSecond);
  Start({}, options);
  SleepAndReply(2 * kSecond);
  const int longer = Connect(), shorter = Connect();
  ring_.PeerWrite(longer, kGet);
  ExpectTimedOut(Exchanged(shorter, "GET /b HTTP/1.1\r\nHost: h\r\n\r\n", 2 * kSecond + kMs));
  ExpectDone(ring_.PeerRead(longer));
  for (int peer : {longer, shorter}) ring_.PeerClose(peer);
}

TEST_F(RequestEndTest, ApplicationCanSetShortenLengthenAndLiftItsTimeout) {
  StartWith(kSecond);
  std::vector<int64_t> timeouts_ns;
  app_ = [&](HttpExchange* exchange) {
    const Interruptee interruptee(this, exchange);
    for (const int64_t timeout_ns : timeouts_ns) exchange->SetTimeout(timeout_ns);
    scheduler_->Park(clock_.NowNs() + 2 * kSecond);
    ReplyAsPyhost(exchange);
  };
  const int peer = Connect();
  timeouts_ns = {3 * kSecond};
  ExpectDone(Exchanged(peer, kGet, 2 * kSecond + kMs));
  timeouts_ns = {3 * kSecond, 500 * kMs};
  ExpectTimedOut(Exchanged(peer, kGet, 501 * kMs));
  timeouts_ns = {kNeverNs};
  ExpectDone(Exchanged(peer, kGet, 2 * kSecond + kMs));
  timeouts_ns = {kNeverNs - 1};
  ExpectDone(Exchanged(peer, kGet, 2 * kSecond + kMs));
  ring_.PeerClose(peer);
}

TEST_F(RequestEndTest, TimeoutIsCountedFromTheRequestsStartAndAPastOneIsDueAtOnce) {
  StartWith(0);
  app_ = [&](HttpExchange* exchange) {
    const Interruptee interruptee(this, exchange);
    scheduler_->Park(clock_.NowNs() + kSecond);
    exchange->SetTimeout(500 * kMs);
    scheduler_->Park(clock_.NowNs() + kSecond);
    ReplyAsPyhost(exchange);
  };
  const int peer = Connect();
  ExpectTimedOut(Exchanged(peer, kGet, kSecond + 2 * kMs));
  ring_.PeerClose(peer);
}

TEST_F(RequestEndTest, ATimeoutThatIsSetAfterTheDeadlineChangesNothing) {
  StartWith(kSecond);
  app_ = [&](HttpExchange* exchange) {
    const Interruptee interruptee(this, exchange);
    scheduler_->Park();
    exchange->SetTimeout(kNeverNs);
    EXPECT_EQ(exchange->cut_short(), CutShort::kTimedOut);
    Swallow(clock_.NowNs() + 3 * kSecond);
  };
  const int peer = Connect();
  ExpectTimedOut(Exchanged(peer, kGet, 4 * kSecond + kMs));
  EXPECT_EQ(overdue_, 1);
  ring_.PeerClose(peer);
}

TEST_F(RequestEndTest, RequestWhoseDeadlinePassesInTheQueueIsAnswered504AndNeverRuns) {
  StartWith(kSecond, false, {.cores_max = 1});
  app_ = [&](HttpExchange* exchange) {
    ++runs_;
    const Interruptee interruptee(this, exchange);
    exchange->SetTimeout(kNeverNs);
    scheduler_->Park(clock_.NowNs() + 3 * kSecond);
    ReplyAsPyhost(exchange);
  };
  const int busy = Connect(), queued = Connect();
  EXPECT_EQ(Exchanged(busy, kGet), "");
  EXPECT_EQ(Exchanged(queued, kGet, 999 * kMs), "");
  EXPECT_EQ(cores_->queue_depth(), 1u);
  Run(2 * kMs);
  ExpectTimedOut(ring_.PeerRead(queued));
  EXPECT_TRUE(ring_.PeerSeesEnd(queued));
  EXPECT_EQ(cores_->queue_depth(), 0u);
  Run(3 * kSecond);
  ExpectDone(ring_.PeerRead(busy));
  EXPECT_EQ(runs_, 1);
  for (int peer : {busy, queued}) ring_.PeerClose(peer);
}

TEST_F(RequestEndTest, TimeInTheQueueCounts) {
  StartWith(kSecond, false, {.cores_max = 1});
  SleepAndReply(700 * kMs);
  const int first = Connect(), second = Connect();
  ring_.PeerWrite(first, kGet);
  EXPECT_EQ(Exchanged(second, kGet, 999 * kMs), "");
  Run(2 * kMs);
  ExpectDone(ring_.PeerRead(first));
  ExpectTimedOut(ring_.PeerRead(second));
  EXPECT_EQ(runs_, 2);
  for (int peer : {first, second}) ring_.PeerClose(peer);
}

TEST_F(RequestEndTest, TrickledUploadIsInterruptedAndCanStillBeAnswered) {
  StartWith(kSecond);
  absl::Status status;
  app_ = [&](HttpExchange* exchange) {
    const Interruptee interruptee(this, exchange);
    char byte;
    for (;;) {
      const absl::StatusOr<size_t> size = exchange->ReadBody(&byte, 1);
      if (size.ok()) continue;
      status = size.status();
      break;
    }
    scheduler_->ClearCancel();
    ReplyAsPyhost(exchange);
  };
  const int peer = Connect();
  EXPECT_EQ(Exchanged(peer, kUpload, 500 * kMs), "");
  EXPECT_EQ(Exchanged(peer, "a", 499 * kMs), "");
  Run(2 * kMs);
  ExpectTimedOut(ring_.PeerRead(peer));
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_FALSE(ring_.PeerSeesEnd(peer));
  ExpectDone([&] {  // the rest of the body is skipped: what follows is the next request
    SleepAndReply(kMs);
    return Exchanged(peer, "b" + std::string(kGet), 10 * kMs);
  }());
  ring_.PeerClose(peer);
}

TEST_F(RequestEndTest, SlowReaderIsCutOffAtTheDeadlineAndItsResponseLooksCutOff) {
  StartWith(kSecond);
  absl::Status status;
  app_ = [&](HttpExchange* exchange) {
    const Interruptee interruptee(this, exchange);
    protocol::ResponseEncoder head;
    ASSERT_EQ(head.SetStatus("200 OK"), nullptr);
    ASSERT_TRUE(exchange->SendHead(head, 10'000'000).ok());
    status = exchange->SendBody(std::string(10'000'000, 'x'));
    exchange->Abort();
  };
  const int peer = Connect();
  const std::string response = Exchanged(peer, kGet, kSecond + 2 * kMs);
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_LT(response.size(), 10'000'000u);
  EXPECT_FALSE(Contains(response, "504"));
  Run();
  ring_.PeerRead(peer);
  EXPECT_TRUE(ring_.PeerSeesEnd(peer));
  ring_.PeerClose(peer);
}

// The grace.

TEST_F(RequestEndTest, RequestThatGoesOnBeyondTheGraceIsAnsweredReportedAndToldToTheWorkerOnce) {
  StartWith(kSecond);
  app_ = [&](HttpExchange* exchange) {
    const Interruptee interruptee(this, exchange);
    Swallow(clock_.NowNs() + 20 * kSecond);
    Reply(exchange, "too late");
  };
  const int peer = Connect();
  EXPECT_EQ(Exchanged(peer, kGet, 2999 * kMs), "");
  EXPECT_EQ(overdue_, 0);
  Run(2 * kMs);
  ExpectTimedOut(ring_.PeerRead(peer));
  EXPECT_TRUE(ring_.PeerSeesEnd(peer)) << "the client need not wait for the application";
  EXPECT_EQ(overdue_, 1);
  EXPECT_EQ(reports_, 1);
  Run(20 * kSecond);
  EXPECT_EQ(overdue_, 1);
  EXPECT_EQ(ring_.PeerRead(peer), "");
  EXPECT_EQ(service_->connection_count(), 0u);
  ring_.PeerClose(peer);
}

TEST_F(RequestEndTest, OverdueRequestWhoseResponseHasBegunIsCutOff) {
  StartWith(kSecond);
  app_ = [&](HttpExchange* exchange) {
    const Interruptee interruptee(this, exchange);
    protocol::ResponseEncoder head;
    ASSERT_EQ(head.SetStatus("200 OK"), nullptr);
    ASSERT_TRUE(exchange->SendHead(head, -1).ok());
    ASSERT_TRUE(exchange->SendBody("part").ok());
    Swallow(clock_.NowNs() + 5 * kSecond);
    EXPECT_FALSE(exchange->SendBody("more").ok());
  };
  const int peer = Connect();
  const std::string response = Exchanged(peer, kGet, 3 * kSecond + 2 * kMs);
  EXPECT_TRUE(Contains(response, "part")) << response;
  EXPECT_FALSE(Contains(response, "0\r\n\r\n")) << "it must not look complete";
  EXPECT_TRUE(ring_.PeerSeesEnd(peer));
  Run(5 * kSecond);
  EXPECT_EQ(overdue_, 1);
  ring_.PeerClose(peer);
}

TEST_F(RequestEndTest, OverdueNeighboursAreServedOn) {
  StartWith(kSecond);
  app_ = [&](HttpExchange* exchange) {
    const Interruptee interruptee(this, exchange);
    if (exchange->head().target == "/a") Swallow(clock_.NowNs() + 10 * kSecond);
    ReplyAsPyhost(exchange);
  };
  const int stuck = Connect(), neighbour = Connect();
  EXPECT_EQ(Exchanged(stuck, kGet), "");
  for (int i = 0; i < 8; ++i) ExpectDone(Exchanged(neighbour, "GET /b HTTP/1.1\r\nHost: h\r\n\r\n", 900 * kMs));
  EXPECT_EQ(overdue_, 1);
  Run(5 * kSecond);
  for (int peer : {stuck, neighbour}) ring_.PeerClose(peer);
}

// close() of the response.

TEST_F(RequestEndTest, CloseHasTheGraceForItselfAfterTheDeadline) {
  StartWith(kSecond);
  app_ = [&](HttpExchange* exchange) {
    const Interruptee interruptee(this, exchange);
    scheduler_->Park();  // until the deadline
    scheduler_->ClearCancel();
    exchange->BeginClose();
    EXPECT_EQ(scheduler_->Park(clock_.NowNs() + 1900 * kMs), green::ParkResult::kTimedOut);
    ReplyAsPyhost(exchange);
  };
  const int peer = Connect();
  ExpectTimedOut(Exchanged(peer, kGet, 3 * kSecond));
  EXPECT_EQ(overdue_, 0);
  ring_.PeerClose(peer);
}

TEST_F(RequestEndTest, DeadlineWithinCloseInterruptsItAfterTheGraceOnlyAndTheResponseStands) {
  StartWith(kSecond);
  app_ = [&](HttpExchange* exchange) {
    const Interruptee interruptee(this, exchange);
    scheduler_->Park(clock_.NowNs() + 900 * kMs);
    Reply(exchange, "whole");
    exchange->BeginClose();
    scheduler_->Park();
    scheduler_->ClearCancel();
    EXPECT_EQ(exchange->cut_short(), CutShort::kNo);
  };
  const int peer = Connect();
  const std::string response = Exchanged(peer, kGet, 2999 * kMs);
  EXPECT_TRUE(Contains(response, "whole")) << response;
  EXPECT_EQ(reasons_, Reasons{});
  Run(2 * kMs);
  EXPECT_EQ(reasons_, Reasons{CutShort::kTimedOut});
  EXPECT_FALSE(ring_.PeerSeesEnd(peer)) << "the connection is as good as ever";
  ring_.PeerClose(peer);
}

TEST_F(RequestEndTest, CloseThatHangsInspiteOfEverythingIsOverdue) {
  StartWith(kSecond);
  app_ = [&](HttpExchange* exchange) {
    const Interruptee interruptee(this, exchange);
    Reply(exchange, "whole");
    exchange->BeginClose();
    Swallow(clock_.NowNs() + 20 * kSecond);
  };
  const int peer = Connect();
  const std::string response = Exchanged(peer, kGet, 4999 * kMs);
  EXPECT_TRUE(Contains(response, "whole")) << response;
  EXPECT_EQ(overdue_, 0);
  Run(2 * kMs);
  EXPECT_EQ(overdue_, 1);
  EXPECT_TRUE(ring_.PeerSeesEnd(peer));
  Run(20 * kSecond);
  ring_.PeerClose(peer);
}

}  // namespace
}  // namespace greenring::worker
