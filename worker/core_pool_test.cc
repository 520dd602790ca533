// Generations of cores: every change of the settings while requests run and wait.
#include "worker/core_pool.h"

#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "worker/http_service_fixture.h"

namespace greenring::worker {
namespace {

using Counts = std::vector<CorePool::GenerationCount>;

constexpr CoreSettings kUcontext = {.engine = CoreEngine::kUcontext, .cores_max = 4};
constexpr CoreSettings kFcontext = {.engine = CoreEngine::kFcontext, .cores_max = 4};

class CorePoolTest : public HttpServiceTest {
 protected:
  void StartHolding(const CoreSettings& settings) {
    app_ = [this](HttpExchange* exchange) {
      const std::string target(exchange->head().target);
      taken_by_[target] = exchange->generation();
      stack_size_bytes_[target] = scheduler_->current()->stack().size_bytes;
      if (target.starts_with("/hold")) {
        held_.insert(scheduler_->current());
        while (!released_.contains(target)) scheduler_->Park();
        held_.erase(scheduler_->current());
      }
      Reply(exchange, target);
    };
    Start(settings);
  }

  void Send(const std::string& target) {
    peers_[target] = Connect();
    ring_.PeerWrite(peers_[target], "GET " + target + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    Run();
  }

  // Several that arrive in one turn.
  void SendTogether(const std::string& prefix, int count) {
    for (int i = 0; i < count; ++i) {
      const std::string target = prefix + std::to_string(i);
      peers_[target] = Connect();
      ring_.PeerWrite(peers_[target], "GET " + target + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    }
    Run();
  }

  void Release(const std::string& target) {
    released_.insert(target);
    for (green::GreenThread* thread : held_) scheduler_->Unpark(thread);
    Run();
  }

  // What has been sent and answered since the last call is taken off; the rest must not be.
  bool Answered(const std::string& target) {
    const std::string response = ring_.PeerRead(peers_.at(target));
    if (response.empty()) return false;
    EXPECT_TRUE(Contains(response, " 200 OK")) << response;
    ring_.PeerClose(peers_.at(target));
    peers_.erase(target);
    return true;
  }

  void TearDown() override {
    std::vector<std::string> sent;
    for (const auto& [target, peer] : peers_) sent.push_back(target);
    for (const std::string& target : sent) Release(target);
    Run();
    for (const std::string& target : sent) EXPECT_TRUE(Answered(target)) << target;
    HttpServiceTest::TearDown();
  }

  void OnGenerationsChanged() override { ++changes_; }

  std::map<std::string, int> peers_;
  std::map<std::string, int64_t> taken_by_;
  std::map<std::string, size_t> stack_size_bytes_;
  std::set<std::string> released_;
  std::set<green::GreenThread*> held_;
  int changes_ = 0;
};

TEST_F(CorePoolTest, ANewGenerationIsThereAtOnceAlsoWithoutCores) {
  StartHolding(kUcontext);
  EXPECT_EQ(cores_->generations(), (Counts{{0, 0, 0}}));
  cores_->Apply(kFcontext, 7, 0);
  EXPECT_EQ(cores_->generations(), (Counts{{7, 0, 0}}));
}

TEST_F(CorePoolTest, IdleCoresOfTheOldSettingsEndAtOnce) {
  StartHolding(kUcontext);
  Send("/a");
  EXPECT_EQ(cores_->generations(), (Counts{{0, 1, 0}}));
  cores_->Apply(kFcontext, 1, 0);
  Run();
  EXPECT_EQ(cores_->generations(), (Counts{{1, 0, 0}}));
  Send("/b");
  EXPECT_EQ(taken_by_["/b"], 1);
  EXPECT_EQ(cores_->generations(), (Counts{{1, 1, 0}}));
}

TEST_F(CorePoolTest, BusyCoresEndAfterTheirRequestAndNewRequestsUseTheNewSettingsMeanwhile) {
  StartHolding(kUcontext);
  SendTogether("/hold", 4);
  cores_->Apply({.engine = CoreEngine::kFcontext, .stack_size_bytes = 1 << 20, .cores_max = 4}, 1, 0);
  SendTogether("/hold-more", 4);
  EXPECT_EQ(cores_->generations(), (Counts{{1, 4, 4}, {0, 4, 4}}));
  EXPECT_EQ(taken_by_["/hold-more3"], 1);
  EXPECT_EQ(stack_size_bytes_["/hold-more3"], 1u << 20);
  EXPECT_EQ(stack_size_bytes_["/hold3"], green::kDefaultStackSizeBytes);
  Release("/hold0");
  EXPECT_TRUE(Answered("/hold0"));
  EXPECT_EQ(cores_->generations(), (Counts{{1, 4, 4}, {0, 3, 3}}));
}

TEST_F(CorePoolTest, WhatIsQueuedIsTakenByTheNewGenerationInItsOrder) {
  StartHolding({.cores_max = 1});
  Send("/hold");
  for (const char* target : {"/a", "/b", "/c"}) Send(target);
  EXPECT_EQ(cores_->queue_depth(), 3u);
  cores_->Apply({.engine = CoreEngine::kFcontext, .cores_max = 1}, 1, 0);
  Run();
  EXPECT_EQ(cores_->queue_depth(), 0u);
  for (const char* target : {"/a", "/b", "/c"}) {
    EXPECT_EQ(taken_by_[target], 1);
    EXPECT_TRUE(Answered(target));
  }
  EXPECT_EQ(cores_->generations(), (Counts{{1, 1, 0}, {0, 1, 1}}));
}

TEST_F(CorePoolTest, CoresOfTheSameMakeGoOverInsteadOfBeingReplaced) {
  StartHolding({.cores_max = 2});
  Send("/hold");
  Send("/a");
  const uint64_t spawned = scheduler_->stats().spawned;
  cores_->Apply({.cores_max = 2, .queue_depth_max = 5}, 3, 0);
  EXPECT_EQ(cores_->generations(), (Counts{{3, 2, 1}}));
  Send("/b");
  EXPECT_EQ(taken_by_["/b"], 3);
  EXPECT_EQ(scheduler_->stats().spawned, spawned);
}

TEST_F(CorePoolTest, FewerCoresSurplusOnesEndWhenTheyAreIdle) {
  StartHolding({.cores_max = 6});
  SendTogether("/hold", 6);
  Release("/hold0");
  Release("/hold1");
  EXPECT_EQ(cores_->generations(), (Counts{{0, 6, 4}}));
  cores_->Apply({.cores_max = 3}, 1, 0);
  Run();
  EXPECT_EQ(cores_->generations(), (Counts{{1, 4, 4}}));
  Send("/a");  // waits: four are busy, and three would do
  EXPECT_EQ(cores_->queue_depth(), 1u);
  Release("/hold2");
  EXPECT_EQ(cores_->generations(), (Counts{{1, 3, 3}}));
  EXPECT_EQ(cores_->queue_depth(), 1u);
  Release("/hold3");
  EXPECT_EQ(cores_->queue_depth(), 0u);
  EXPECT_EQ(cores_->generations(), (Counts{{1, 3, 2}}));
}

TEST_F(CorePoolTest, MoreCoresTakeUpWhatWaits) {
  StartHolding({.cores_max = 1});
  SendTogether("/hold", 3);
  EXPECT_EQ(cores_->queue_depth(), 2u);
  cores_->Apply({.cores_max = 3}, 1, 0);
  Run();
  EXPECT_EQ(cores_->queue_depth(), 0u);
  EXPECT_EQ(cores_->generations(), (Counts{{1, 3, 3}}));
}

TEST_F(CorePoolTest, TheCanaryGetsItsShareOfTheRequestsAlsoWhenMostCoresAreIdle) {
  StartHolding({.cores_max = 100});
  cores_->Apply({.engine = CoreEngine::kFcontext, .cores_max = 100}, 1, 30);
  std::map<int64_t, int> taken;
  for (int i = 0; i < 100; ++i) {
    const std::string target = "/" + std::to_string(i);
    Send(target);
    ++taken[taken_by_[target]];
  }
  EXPECT_EQ(taken, (std::map<int64_t, int>{{0, 70}, {1, 30}}));
  EXPECT_EQ(taken_by_["/0"], 1);
}

TEST_F(CorePoolTest, TheCanaryHasItsShareOfTheCores) {
  StartHolding({.cores_max = 10, .queue_depth_max = 100});
  cores_->Apply({.engine = CoreEngine::kFcontext, .cores_max = 10}, 1, 25);
  SendTogether("/hold", 30);
  EXPECT_EQ(cores_->generations(), (Counts{{1, 3, 3}, {0, 7, 7}}));
  EXPECT_EQ(cores_->queue_depth(), 20u);
}

TEST_F(CorePoolTest, ARequestDoesNotWaitForACanaryThatIsBusy) {
  StartHolding({.cores_max = 10});
  cores_->Apply({.engine = CoreEngine::kFcontext, .cores_max = 10}, 1, 10);
  Send("/hold");
  EXPECT_EQ(taken_by_["/hold"], 1);
  for (int i = 0; i < 20; ++i) {
    const std::string target = "/" + std::to_string(i);
    Send(target);
    EXPECT_TRUE(Answered(target));
    EXPECT_EQ(taken_by_[target], 0);
  }
}

TEST_F(CorePoolTest, ACanaryOfOneCoreOfTwoLeavesOne) {
  StartHolding({.cores_max = 2});
  cores_->Apply({.engine = CoreEngine::kFcontext, .cores_max = 2}, 1, 99);
  SendTogether("/hold", 3);
  EXPECT_EQ(cores_->generations(), (Counts{{1, 1, 1}, {0, 1, 1}}));
}

TEST_F(CorePoolTest, APromotedCanaryKeepsItsCoresAndTheOthersEnd) {
  StartHolding({.cores_max = 4});
  cores_->Apply(kFcontext, 1, 50);
  SendTogether("/hold", 4);
  Release("/hold0");  // the canary's
  Release("/hold1");
  EXPECT_EQ(cores_->generations(), (Counts{{1, 2, 1}, {0, 2, 1}}));
  cores_->Apply(kFcontext, 1, 0);
  Run();
  EXPECT_EQ(cores_->generations(), (Counts{{1, 2, 1}, {0, 1, 1}}));
  SendTogether("/hold-more", 3);
  EXPECT_EQ(cores_->generations(), (Counts{{1, 4, 4}, {0, 1, 1}}));
}

TEST_F(CorePoolTest, GoingBackEndsTheCanarysCoresAndKeepsTheOthers) {
  StartHolding({.cores_max = 4});
  cores_->Apply(kFcontext, 1, 50);
  SendTogether("/hold", 5);
  cores_->Apply(kUcontext, 0, 0);
  Run();
  EXPECT_EQ(cores_->generations(), (Counts{{1, 2, 2}, {0, 3, 3}}));
  EXPECT_EQ(cores_->queue_depth(), 0u);
  Release("/hold0");
  EXPECT_EQ(cores_->generations(), (Counts{{1, 1, 1}, {0, 3, 3}}));
  Send("/a");
  EXPECT_EQ(taken_by_["/a"], 0);
}

TEST_F(CorePoolTest, AnotherCanaryTakesThePlaceOfTheFirst) {
  StartHolding({.cores_max = 4});
  cores_->Apply(kFcontext, 1, 50);
  Send("/hold");
  cores_->Apply({.engine = CoreEngine::kFcontext, .stack_size_bytes = 1 << 20, .cores_max = 4}, 2, 25);
  EXPECT_EQ(cores_->generations(), (Counts{{2, 0, 0}, {1, 1, 1}, {0, 0, 0}}));
  Release("/hold");
  EXPECT_EQ(cores_->generations(), (Counts{{2, 0, 0}, {0, 0, 0}}));
}

TEST_F(CorePoolTest, AGenerationThatComesBackKeepsItsBusyCores) {
  StartHolding(kUcontext);
  Send("/hold");
  cores_->Apply(kFcontext, 1, 0);
  cores_->Apply(kUcontext, 0, 0);
  Release("/hold");
  EXPECT_EQ(cores_->generations(), (Counts{{0, 1, 0}}));
}

TEST_F(CorePoolTest, ChangesAreToldOnceATurn) {
  StartHolding(kUcontext);
  SendTogether("/hold", 4);
  Run();
  const int before = changes_;
  EXPECT_GE(before, 1);
  cores_->Apply(kFcontext, 1, 0);
  cores_->Apply(kFcontext, 2, 0);
  Run();
  EXPECT_EQ(changes_, before + 1);
  Run();
  EXPECT_EQ(changes_, before + 1);
}

TEST_F(CorePoolTest, QueueDepthIsLive) {
  StartHolding({.cores_max = 1, .queue_depth_max = 0});
  Send("/hold");
  const int refused = Connect();
  EXPECT_TRUE(Contains(Exchanged(refused, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"), " 503 "));
  ring_.PeerClose(refused);
  cores_->Apply({.cores_max = 1, .queue_depth_max = 1}, 1, 0);
  Send("/a");
  EXPECT_EQ(cores_->queue_depth(), 1u);
}

TEST_F(CorePoolTest, ARetiredCoreThatIsAbandonedDoesNotCountAnyMore) {
  StartHolding(kUcontext);
  Send("/hold");
  cores_->Apply(kFcontext, 1, 0);
  service_->Drain();
  Run();
  EXPECT_EQ(cores_->generations(), (Counts{{1, 0, 0}, {0, 1, 1}}));
}

// Requests and changes at random: nothing is lost, and nothing begins on a generation that was retired by then.
TEST_F(CorePoolTest, NoRequestIsLostAndNoneBeginsOnARetiredGeneration) {
  for (uint32_t seed = 1; seed <= 15; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    std::set<int64_t> active = {0};
    int begun = 0, answered = 0;
    int64_t number = 0, main_number = 0;
    CoreSettings main_settings = {.cores_max = 4, .queue_depth_max = 10000};
    app_ = [&](HttpExchange* exchange) {
      ++begun;
      EXPECT_TRUE(active.contains(exchange->generation()));
      const int64_t generation = exchange->generation();
      for (size_t turns = random() % 3; turns > 0; --turns) scheduler_->Park(clock_.NowNs() + random() % (20 * kMs));
      EXPECT_EQ(exchange->generation(), generation);
      Reply(exchange, "done");
    };
    Start(main_settings);
    std::vector<int> peers;
    for (int step = 0; step < 150; ++step) {
      for (size_t count = random() % 4; count > 0; --count) {
        peers.push_back(Connect());
        ring_.PeerWrite(peers.back(), "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
      }
      if (random() % 4 == 0) {
        const bool go_back = random() % 3 == 0;
        const CoreSettings settings = {.engine = random() % 2 == 0 ? CoreEngine::kUcontext : CoreEngine::kFcontext,
                                       .stack_size_bytes = random() % 2 == 0 ? size_t{64} * 1024 : size_t{256} * 1024,
                                       .cores_max = 1 + random() % 6,
                                       .queue_depth_max = 10000};
        const int percent = go_back || random() % 2 == 0 ? 0 : 1 + static_cast<int>(random() % 99);
        if (!go_back) ++number;
        if (percent == 0 && !go_back) {
          main_number = number;
          main_settings = settings;
        }
        active = {main_number};
        if (percent > 0) active.insert(number);
        cores_->Apply(go_back ? main_settings : settings, go_back ? main_number : number, percent);
      }
      Run((1 + random() % 5) * kMs);
    }
    Run(20 * kSecond);
    for (int peer : peers) {
      answered += Contains(ring_.PeerRead(peer), " 200 OK") ? 1 : 0;
      ring_.PeerClose(peer);
    }
    EXPECT_EQ(begun, static_cast<int>(peers.size()));
    EXPECT_EQ(answered, static_cast<int>(peers.size()));
    EXPECT_EQ(cores_->busy_count(), 0u);
    for (const auto& count : cores_->generations()) EXPECT_TRUE(active.contains(count.generation));
    HttpServiceTest::TearDown();
    drained_ = false;
  }
  Start();
}

}  // namespace
}  // namespace greenring::worker
