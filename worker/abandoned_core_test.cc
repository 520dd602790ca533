// Requests whose core is lost to a stack overflow.
#include <string>

#include "green/stack_overflow.h"
#include "gtest/gtest.h"
#include "protocol/response_encoder.h"
#include "worker/http_service_fixture.h"

namespace greenring::worker {
namespace {

__attribute__((noinline)) int RecurseForEver(int level) {
  volatile char frame[1024];
  frame[0] = static_cast<char>(level);
  return level < 0 ? 0 : RecurseForEver(level + 1) + frame[0];
}

class AbandonedCoreTest : public HttpServiceTest {
 protected:
  // Answers "/lost" never, "/begun" with a head and part of a body; all else as ever.
  void StartLosing() {
    green::InstallStackOverflowHandler();
    app_ = [](HttpExchange* exchange) {
      if (exchange->head().target == "/begun") {
        protocol::ResponseEncoder head;
        ASSERT_EQ(head.SetStatus("200 OK"), nullptr);
        exchange->SendHead(head, -1).IgnoreError();
        exchange->SendBody("part").IgnoreError();
      }
      if (exchange->head().target == "/finished") Reply(exchange, "finished");
      if (exchange->head().target != "/fine") RecurseForEver(0);
      Reply(exchange, "fine");
    };
    Start({.cores_max = 1});
  }

  green::StackOverflowSignalStack signal_stack_;
};

TEST_F(AbandonedCoreTest, TheClientGets500AndTheConnectionIsClosed) {
  StartLosing();
  const int peer = Connect();
  const std::string response = Exchanged(peer, "GET /lost HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(Contains(response, "HTTP/1.1 500 ")) << response;
  EXPECT_TRUE(Contains(response, "Connection: close\r\n"));
  EXPECT_TRUE(ring_.PeerSeesEnd(peer));
  EXPECT_EQ(cores_->live_count(), 0u);
  ring_.PeerClose(peer);
}

TEST_F(AbandonedCoreTest, AnotherCoreTakesItsPlace) {
  StartLosing();
  for (int i = 0; i < 3; ++i) {
    const int lost = Connect();
    EXPECT_TRUE(Contains(Exchanged(lost, "POST /lost HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab"), " 500 "));
    ring_.PeerClose(lost);
    const int fine = Connect();
    EXPECT_TRUE(Contains(Exchanged(fine, "GET /fine HTTP/1.1\r\nHost: h\r\n\r\n"), "fine"));
    ring_.PeerClose(fine);
  }
  EXPECT_EQ(scheduler_->stats().abandoned, 3u);
}

TEST_F(AbandonedCoreTest, ABegunResponseIsCutShortAndAFinishedOneArrives) {
  StartLosing();
  const int begun = Connect();
  const std::string response = Exchanged(begun, "GET /begun HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(Contains(response, "part"));
  EXPECT_FALSE(Contains(response, "0\r\n\r\n"));
  EXPECT_TRUE(ring_.PeerSeesEnd(begun));
  const int finished = Connect();
  const std::string whole = Exchanged(finished, "GET /finished HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(Contains(whole, "\r\n\r\nfinished"));
  EXPECT_FALSE(Contains(whole, " 500 "));
  EXPECT_TRUE(ring_.PeerSeesEnd(finished));
  ring_.PeerClose(begun);
  ring_.PeerClose(finished);
}

TEST_F(AbandonedCoreTest, ADrainDoesNotWaitForIt) {
  StartLosing();
  const int peer = Connect();
  ring_.PeerWrite(peer, "GET /lost HTTP/1.1\r\nHost: h\r\n\r\n");
  service_->Drain();
  Run(HttpService::kDrainIdleNs + 2 * HttpService::kTickNs);
  ring_.PeerClose(peer);
  Run(HttpService::kDrainIdleNs);
  EXPECT_TRUE(drained_);
  EXPECT_EQ(cores_->live_count(), 0u);
}

}  // namespace
}  // namespace greenring::worker
