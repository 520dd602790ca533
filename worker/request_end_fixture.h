// What the tests of requests that end early share: an application in C++ that does what pyhost does, on a simulated
// kernel and clock.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "pyhost/exchange.h"
#include "worker/http_service.h"
#include "worker/http_service_fixture.h"

namespace greenring::worker {

using pyhost::CutShort;
using Reasons = std::vector<CutShort>;

inline constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
inline constexpr std::string_view kUpload = "POST /u HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n";

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
    void OnCancelled(const std::string& reason) override {
      test_->cancels_.push_back(reason);
      test_->scheduler_->Cancel(thread_);
    }
    void OnOverdue() override { ++test_->reports_; }
    std::string PythonStack() override { return "  File \"app.py\", line 1, in app\n"; }

    RequestEndTest* const test_;
    HttpExchange* const exchange_;
    green::GreenThread* const thread_;
  };

  void StartWith(int64_t timeout_ns, bool cancel_on_disconnect = false, CoreSettings cores = {}) {
    HttpServiceOptions options;
    options.request_timeouts.Set("", timeout_ns);
    options.request_timeout_grace_ns = 2 * kSecond;
    options.cancel_on_disconnect = cancel_on_disconnect;
    Start(cores, options);
  }

  // Each request sleeps so long, or until it is interrupted; then it is answered, with 504 if it has timed out, with
  // 503 if it was cancelled.
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
    const CutShort cut_short = exchange->cut_short();
    const char* const status = cut_short == CutShort::kTimedOut    ? "504 Gateway Timeout"
                               : cut_short == CutShort::kCancelled ? "503 Service Unavailable"
                                                                   : "200 OK";
    ASSERT_EQ(head.SetStatus(status), nullptr);
    exchange->SendComplete(head, cut_short == CutShort::kNo ? "done" : "late").IgnoreError();
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
  std::vector<std::string> cancels_;
};

}  // namespace greenring::worker
