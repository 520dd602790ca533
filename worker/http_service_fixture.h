// Connections, exchanges, cores and the drain together, on a simulated kernel and clock; the application is C++.
//
//   class PipelineTest : public HttpServiceTest {};
//   TEST_F(PipelineTest, ...) {
//     Start({.cores_max = 1});
//     app_ = [](HttpExchange* exchange) { Reply(exchange, "hello"); };
//     EXPECT_TRUE(Contains(Exchanged(Connect(), "GET / HTTP/1.1\r\nHost: h\r\n\r\n"), "200 OK"));
//   }
//
// At the end of each test nothing may be left: no connection, no core.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "gtest/gtest.h"
#include "ioloop/event_loop.h"
#include "protocol/response_encoder.h"
#include "testing/run_for.h"
#include "testing/sim_clock.h"
#include "testing/sim_ring.h"
#include "worker/core_pool.h"
#include "worker/http_service.h"

namespace greenring::worker {

inline constexpr int64_t kMs = kNanosecondsPerMillisecond;
inline constexpr int64_t kSecond = kNanosecondsPerSecond;

// Answers 200 with `body`.
inline void Reply(HttpExchange* exchange, std::string_view body) {
  protocol::ResponseEncoder head;
  ASSERT_EQ(head.SetStatus("200 OK"), nullptr);
  exchange->SendComplete(head, body).IgnoreError();
}

inline std::string ReadAll(HttpExchange* exchange) {
  std::string body;
  char piece[100];
  for (;;) {
    absl::StatusOr<size_t> size = exchange->ReadBody(piece, sizeof(piece));
    if (!size.ok()) return "error: " + std::string(size.status().message());
    if (*size == 0) return body;
    body.append(piece, *size);
  }
}

class HttpServiceTest : public ::testing::Test, public CorePool::Runner, public HttpService::Observer {
 protected:
  using App = std::function<void(HttpExchange*)>;

  explicit HttpServiceTest(const testing::SimRingOptions& options = {}) : ring_(&clock_, options) {}

  void Start(CoreSettings cores = {}, HttpServiceOptions options = {}) {
    scheduler_ = std::make_unique<green::Scheduler>(green::SchedulerOptions{.clock = &clock_});
    loop_ = std::make_unique<ioloop::EventLoop>(&ring_, scheduler_.get());
    cores_ = std::make_unique<CorePool>(scheduler_.get(), cores, this);
    service_ = std::make_unique<HttpService>(loop_.get(), cores_.get(), options, &errors_, nullptr, this);
    listener_.service = service_.get();
  }

  // The peer's end of a new connection.
  int Connect() {
    auto [ours, peer] = ring_.SocketPair();
    listener_.OnAccept(UniqueFd(ours));
    return peer;
  }

  // Lets everything happen that happens within `duration_ns`.
  void Run(int64_t duration_ns = kMs) { testing::RunFor(scheduler_.get(), loop_.get(), duration_ns); }

  std::string Exchanged(int peer, std::string_view request, int64_t duration_ns = kMs) {
    ring_.PeerWrite(peer, request);
    Run(duration_ns);
    return ring_.PeerRead(peer);
  }

  void TearDown() override {
    service_->Drain();
    Run(HttpService::kDrainIdleNs + 2 * HttpService::kTickNs);
    EXPECT_TRUE(drained_) << "a connection was left open";
    Run();
    EXPECT_EQ(cores_->live_count(), 0u) << "a core did not end";
    service_.reset();
    cores_.reset();
    loop_.reset();
    scheduler_.reset();
  }

  void RunCore(CorePool* pool) override {
    while (HttpExchange* exchange = pool->Next()) {
      Connection* connection = exchange->connection();
      app_(exchange);
      connection->OnServed();
    }
  }
  void OnCoreAbandoned(green::GreenThread*, HttpExchange* exchange) override { exchange->connection()->OnAbandoned(); }
  void OnCoresEnded() override {}
  void OnOverdue() override { ++overdue_; }
  void OnRequestLimit() override { ++request_limits_; }
  void OnDrained() override {
    drained_ = true;
    cores_->Stop();
  }

  testing::SimClock clock_;
  testing::SimRing ring_;
  std::unique_ptr<LogFile> log_file_ = LogFile::Open("/dev/null", 2).value();
  ErrorLog errors_{log_file_.get()};
  std::unique_ptr<green::Scheduler> scheduler_;
  std::unique_ptr<ioloop::EventLoop> loop_;
  std::unique_ptr<CorePool> cores_;
  std::unique_ptr<HttpService> service_;
  HttpListener listener_;
  App app_ = [](HttpExchange* exchange) { Reply(exchange, std::string(exchange->head().target)); };
  bool drained_ = false;
  int overdue_ = 0;
  int request_limits_ = 0;
};

inline bool Contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

inline size_t Count(const std::string& text, std::string_view part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

}  // namespace greenring::worker
