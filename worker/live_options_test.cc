// Options that change while connections are served.
#include <string>

#include "gtest/gtest.h"
#include "worker/request_end_fixture.h"

namespace greenring::worker {
namespace {

class LiveOptionsTest : public RequestEndTest {
 protected:
  HttpServiceOptions options_;
};

TEST_F(LiveOptionsTest, LimitsHoldForRequestsThatBeginAfterwards) {
  Start({}, options_);
  const int peer = Connect();
  const std::string request = "GET /" + std::string(200, 'x') + " HTTP/1.1\r\nHost: h\r\n\r\n";
  EXPECT_TRUE(Contains(Exchanged(peer, request), "HTTP/1.1 200 "));
  options_.limits.request_line_bytes_max = 100;
  service_->Apply(options_);
  EXPECT_TRUE(Contains(Exchanged(peer, request), "HTTP/1.1 414 "));
  ring_.PeerClose(peer);
}

TEST_F(LiveOptionsTest, TimeoutsHoldForRequestsThatBeginAfterwards) {
  Start({}, options_);
  SleepAndReply(2 * kSecond);
  const int before = Connect(), after = Connect();
  Exchanged(before, kGet);
  options_.request_timeouts.Set("", kSecond);
  service_->Apply(options_);
  Exchanged(after, kGet);
  Run(3 * kSecond);
  ExpectDone(ring_.PeerRead(before));
  ExpectTimedOut(ring_.PeerRead(after));
  ring_.PeerClose(before);
  ring_.PeerClose(after);
}

TEST_F(LiveOptionsTest, AShorterKeepAliveEndsConnectionsThatWaitAlready) {
  Start({}, options_);
  const int before = Connect();
  Exchanged(before, kGet);
  Run(2 * kSecond);
  options_.keepalive_timeout_ns = 5 * kSecond;
  service_->Apply(options_);
  const int after = Connect();
  Exchanged(after, kGet);
  Run(4 * kSecond);
  EXPECT_FALSE(ring_.PeerSeesEnd(before));
  EXPECT_FALSE(ring_.PeerSeesEnd(after));
  Run(kSecond + 2 * HttpService::kTickNs);
  EXPECT_TRUE(ring_.PeerSeesEnd(before));
  EXPECT_TRUE(ring_.PeerSeesEnd(after));
  ring_.PeerClose(before);
  ring_.PeerClose(after);
}

TEST_F(LiveOptionsTest, ALongerKeepAliveHoldsFromTheNextWaitOn) {
  options_.keepalive_timeout_ns = 5 * kSecond;
  Start({}, options_);
  const int waits = Connect(), comes_again = Connect();
  Exchanged(waits, kGet);
  options_.keepalive_timeout_ns = 60 * kSecond;
  service_->Apply(options_);
  Exchanged(comes_again, kGet);
  Run(10 * kSecond);
  EXPECT_TRUE(ring_.PeerSeesEnd(waits));
  EXPECT_FALSE(ring_.PeerSeesEnd(comes_again));
  ring_.PeerClose(waits);
  ring_.PeerClose(comes_again);
}

TEST_F(LiveOptionsTest, ProbesComeAndGo) {
  Start({}, options_);
  const int peer = Connect();
  const std::string probe = "GET /livez HTTP/1.1\r\nHost: h\r\n\r\n";
  EXPECT_FALSE(Contains(Exchanged(peer, probe), "the loop turns"));
  options_.probes.liveness = "/livez";
  service_->Apply(options_);
  EXPECT_TRUE(Contains(Exchanged(peer, probe), "the loop turns"));
  service_->Apply({});
  EXPECT_FALSE(Contains(Exchanged(peer, probe), "the loop turns"));
  ring_.PeerClose(peer);
}

}  // namespace
}  // namespace greenring::worker
