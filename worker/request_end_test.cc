// How requests end early: deadlines and grace, the client's disconnect, the drain, and every order of these and of the
// response's own end. On a simulated kernel and clock; the application is C++.
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "pyhost/exchange.h"
#include "worker/http_service.h"
#include "worker/http_service_fixture.h"

namespace greenring::worker {
namespace {

using pyhost::CutShort;
using Reasons = std::vector<CutShort>;

constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
constexpr std::string_view kUpload = "POST /u HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n";

class RequestEndTest : public HttpServiceTest {
 protected:
  using HttpServiceTest::HttpServiceTest;

  // What pyhost does when it runs a request, without Python: the interruption ends the park that the core is in.
  class Interruptee final : pyhost::Exchange::Interrupter {
   public:
    Interruptee(RequestEndTest* test, HttpExchange* exchange)
        : test_(test), exchange_(exchange), thread_(test->scheduler_->current()) {
      exchange_->SetInterrupter(this);
    }
    ~Interruptee() {
      exchange_->SetInterrupter(nullptr);
      test_->scheduler_->ClearCancel();
    }

   private:
    void OnCutShort(CutShort reason) override {
      test_->reasons_.push_back(reason);
      test_->scheduler_->Cancel(thread_);
    }
    void OnOverdue() override { ++test_->reports_; }

    RequestEndTest* const test_;
    HttpExchange* const exchange_;
    green::GreenThread* const thread_;
  };

  void StartWith(int64_t timeout_ns, bool cancel_on_disconnect = false, CorePoolOptions cores = {}) {
    HttpServiceOptions options;
    options.request_timeouts.Set("", timeout_ns);
    options.request_timeout_grace_ns = 2 * kSecond;
    options.cancel_on_disconnect = cancel_on_disconnect;
    Start(cores, options);
  }

  // Each request sleeps so long, or until it is interrupted; then it is answered, with 504 if it has timed out.
  void SleepAndReply(int64_t duration_ns) {
    app_ = [this, duration_ns](HttpExchange* exchange) {
      ++runs_;
      const Interruptee interruptee(this, exchange);
      scheduler_->Park(clock_.NowNs() + duration_ns);
      ReplyAsPyhost(exchange);
    };
  }

  static void ReplyAsPyhost(HttpExchange* exchange) {
    protocol::ResponseEncoder head;
    const bool late = exchange->cut_short() == CutShort::kTimedOut;
    ASSERT_EQ(head.SetStatus(late ? "504 Gateway Timeout" : "200 OK"), nullptr);
    exchange->SendComplete(head, late ? "late" : "done").IgnoreError();
  }

  // Ignores interruptions until `until_ns`.
  void Swallow(int64_t until_ns) {
    while (clock_.NowNs() < until_ns) scheduler_->ParkUncancellable(until_ns);
  }

  void ExpectDone(const std::string& response) {
    EXPECT_TRUE(Contains(response, "HTTP/1.1 200 ")) << response;
    EXPECT_EQ(Count(response, "HTTP/1.1 "), 1u) << response;
  }
  void ExpectTimedOut(const std::string& response) {
    EXPECT_TRUE(Contains(response, "HTTP/1.1 504 ")) << response;
    EXPECT_EQ(Count(response, "HTTP/1.1 "), 1u) << response;
  }

  Reasons reasons_;
  int runs_ = 0;
  int reports_ = 0;
};

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

// Everything at random. Replay one seed: --gtest_filter='*RequestEndStressTest*/SEED'.

class RequestEndStressTest : public RequestEndTest, public ::testing::WithParamInterface<int> {
 protected:
  RequestEndStressTest() : RequestEndTest({.seed = static_cast<uint64_t>(GetParam())}) {}

  int64_t Random(int64_t max) { return std::uniform_int_distribution<int64_t>(0, max)(random_); }

  // Parks some times, heeds or ignores interruptions, gives its response in one of several ways or not at all.
  void Work(HttpExchange* exchange) {
    const Interruptee interruptee(this, exchange);
    if (Random(9) == 0) exchange->SetTimeout(Random(1) == 0 ? kNeverNs : 1 + Random(300) * kMs);
    if (Random(9) == 0) exchange->SetCancelOnDisconnect(Random(1) == 0);
    for (int64_t parks = Random(3); parks > 0; --parks) {
      const int64_t until_ns = clock_.NowNs() + Random(150) * kMs;
      if (Random(9) == 0) {
        Swallow(until_ns);
      } else if (scheduler_->Park(until_ns) == green::ParkResult::kCancelled) {
        scheduler_->ClearCancel();
        if (Random(4) > 0) break;
      }
    }
    char body[8];
    if (Random(2) == 0 && !exchange->ReadBody(body, sizeof(body)).ok()) scheduler_->ClearCancel();
    const bool late = exchange->cut_short() == CutShort::kTimedOut;
    if (!late && Random(9) == 0) return exchange->Abort();
    ReplyAsPyhost(exchange);
    exchange->BeginClose();
    if (Random(4) == 0) scheduler_->Park(clock_.NowNs() + Random(300) * kMs);
  }

  std::mt19937_64 random_{static_cast<uint64_t>(GetParam())};
};

TEST_P(RequestEndStressTest, EveryRequestEndsAndNothingIsLeft) {
  HttpServiceOptions options;
  options.request_timeouts.Set("", 200 * kMs);
  options.request_timeout_grace_ns = 50 * kMs;
  options.cancel_on_disconnect = Random(1) == 0;
  Start({.cores_max = 4, .queue_depth_max = 20}, options);
  app_ = [this](HttpExchange* exchange) { Work(exchange); };
  struct Client {
    int peer;
    size_t sent = 0;
    std::string received;
  };
  std::vector<Client> clients;
  for (int step = 0; step < 400; ++step) {
    if (clients.size() < 12) clients.push_back({Connect(), 0, {}});
    const size_t index = static_cast<size_t>(Random(static_cast<int64_t>(clients.size()) - 1));
    Client& client = clients[index];
    switch (Random(5)) {
      case 0:
        ring_.PeerWrite(client.peer, std::string(kUpload) + (Random(1) == 0 ? "ab" : "a"));
        client.sent += 1;
        break;
      case 1:
      case 2:
        ring_.PeerWrite(client.peer, std::string(kGet) + std::string(kGet));
        client.sent += 2;
        break;
      case 3:
        Run(Random(100) * kMs + 1);
        break;
      default:
        if (Random(3) > 0) break;
        client.received += ring_.PeerRead(client.peer);
        EXPECT_LE(Count(client.received, "HTTP/1.1 "), client.sent) << client.received;
        if (Random(1) == 0) ring_.PeerReset(client.peer);
        ring_.PeerClose(client.peer);
        clients.erase(clients.begin() + static_cast<std::ptrdiff_t>(index));
        break;
    }
  }
  Run(10 * kSecond);
  EXPECT_EQ(cores_->busy_count(), 0u);
  EXPECT_EQ(cores_->queue_depth(), 0u);
  for (Client& client : clients) {
    client.received += ring_.PeerRead(client.peer);
    EXPECT_LE(Count(client.received, "HTTP/1.1 "), client.sent) << client.received;
    ring_.PeerClose(client.peer);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RequestEndStressTest, ::testing::Range(1, 101), ::testing::PrintToStringParamName());

}  // namespace
}  // namespace greenring::worker
