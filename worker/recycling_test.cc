#include "worker/recycling.h"

#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "worker/http_service_fixture.h"

namespace greenring::worker {
namespace {

class RecyclingTest : public HttpServiceTest, public Recycling::Observer {
 protected:
  void StartRecycled(const RecyclingOptions& options, uint64_t random = 0) {
    Start();
    recycling_.emplace(
        scheduler_.get(), service_.get(), [this] { return rss_bytes_; }, random, this);
    recycling_->Apply(options);
  }
  void TearDown() override {
    recycling_.reset();
    HttpServiceTest::TearDown();
  }

  // How many requests it takes.
  int Serve(int requests_max) {
    const int peer = Connect();
    int served = 0;
    while (served < requests_max && reasons_.empty()) {
      Exchanged(peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
      ++served;
    }
    ring_.PeerClose(peer);
    return served;
  }

  void OnRequestLimit() override { recycling_->OnRequestLimit(); }
  void OnUnfit(const std::string& reason) override { reasons_.push_back(reason); }

  std::optional<Recycling> recycling_;
  int64_t rss_bytes_ = 0;
  std::vector<std::string> reasons_;
};

using Reasons = std::vector<std::string>;

TEST_F(RecyclingTest, WithoutLimitsAWorkerLivesForEver) {
  StartRecycled({});
  rss_bytes_ = INT64_MAX;
  Run(1000 * kSecond);
  EXPECT_EQ(Serve(50), 50);
  EXPECT_EQ(reasons_, Reasons{});
}

TEST_F(RecyclingTest, TellsOnceWhenItHasServedSoManyRequests) {
  StartRecycled({.requests_max = 5, .requests_jitter = 0}, /*random=*/UINT64_MAX);
  EXPECT_EQ(Serve(20), 5);
  EXPECT_EQ(reasons_, Reasons{"it has served 5 requests"});
  reasons_.clear();
  EXPECT_EQ(Serve(20), 20) << "it goes on";
}

TEST_F(RecyclingTest, JitterIsDrawnOnceAndAddsUpToItself) {
  for (const auto& [random, expected] : {std::pair<uint64_t, int>{0, 5}, {3, 8}, {4, 5}, {7, 8}}) {
    reasons_.clear();
    StartRecycled({.requests_max = 5, .requests_jitter = 3}, random);
    recycling_->Apply({.requests_max = 5, .requests_jitter = 3});
    EXPECT_EQ(Serve(20), expected) << random;
    TearDown();
    drained_ = false;
  }
  StartRecycled({});
}

TEST_F(RecyclingTest, TellsOnceWhenMemoryIsMoreThanAllowed) {
  StartRecycled({.rss_bytes_max = 100 << 20});
  rss_bytes_ = 100 << 20;
  Run(5 * kSecond);
  EXPECT_EQ(reasons_, Reasons{});
  rss_bytes_ = 300 << 20;
  Run(2 * kSecond);
  Run(20 * kSecond);
  EXPECT_EQ(reasons_, Reasons{"its resident memory is 300 MiB, more than 100 MiB"});
}

TEST_F(RecyclingTest, TellsAtTheEndOfItsLifetimeAndNotBefore) {
  StartRecycled({.lifetime_max_ns = 60 * kSecond});
  Run(59 * kSecond);
  EXPECT_EQ(reasons_, Reasons{});
  Run(2 * kSecond);
  EXPECT_EQ(reasons_, Reasons{"it has lived for 1m"});
  Run(100 * kSecond);
  EXPECT_EQ(reasons_.size(), 1u);
}

TEST_F(RecyclingTest, LimitsMayComeAndGoWhileItRuns) {
  StartRecycled({.requests_max = 3, .lifetime_max_ns = 10 * kSecond});
  recycling_->Apply({});
  Run(20 * kSecond);
  EXPECT_EQ(Serve(5), 5);
  EXPECT_EQ(reasons_, Reasons{});
  recycling_->Apply({.lifetime_max_ns = 15 * kSecond});
  EXPECT_EQ(reasons_.size(), 1u) << "its life has been longer than that";
  recycling_->Apply({.requests_max = 1});
  EXPECT_EQ(Serve(1), 0) << "told already";
}

}  // namespace
}  // namespace greenring::worker
