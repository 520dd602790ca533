// Deadlines, disconnects and drains at random. Replay one seed: --gtest_filter='*RequestEndStressTest*/SEED'.
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "worker/request_end_fixture.h"

namespace greenring::worker {
namespace {

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
