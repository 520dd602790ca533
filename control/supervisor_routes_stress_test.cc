// Pools that come, go and change their routes and addresses at random, beside deaths and reloads: when things calm down
// every worker has been told who serves what, and hands over to where the others look.
//
// A failure prints its seed; GREENRING_SEED=... replays it.
#include <signal.h>

#include <cstdlib>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "control/route_map.h"
#include "control/supervisor_fixture.h"
#include "google/protobuf/util/message_differencer.h"

namespace greenring::control {
namespace {

class SupervisorRoutesStressTest : public SupervisorFixture, public ::testing::WithParamInterface<int> {
 protected:
  int Random(int count) { return std::uniform_int_distribution<int>(0, count - 1)(random); }
  bool OneIn(int count) { return Random(count) == 0; }

  std::string AnyName() { return "p" + std::to_string(Random(4)); }

  // Listeners and routes; many of them collide with those of others, and are refused.
  std::string AnyPlace() {
    std::string text = "listeners { address: '127.0.0.1:" + std::to_string(8000 + Random(2)) + "' }";
    if (OneIn(3)) text += "listeners { address: '127.0.0.1:8002' }";
    for (int i = Random(3); i > 0; --i) text += "routes { path_prefix: '/" + std::to_string(Random(5)) + "' }";
    return text;
  }

  void DoSomething() {
    const std::string name = AnyName();
    switch (Random(9)) {
      case 0:
      case 1: {
        v1::CreatePoolRequest request;
        request.set_pool_id(name);
        *request.mutable_pool() = PoolOf(name, 1 + Random(2), AnyPlace());
        return supervisor->CreatePool(request, kCaller).status().IgnoreError();
      }
      case 2: {
        v1::DeletePoolRequest request;
        request.set_name("pools/" + name);
        return supervisor->DeletePool(request, kCaller).status().IgnoreError();
      }
      case 3:
      case 4: {
        v1::UpdatePoolRequest request;
        *request.mutable_pool() = PoolOf(name, 1 + Random(3), AnyPlace());
        request.mutable_update_mask()->add_paths("routes");
        if (OneIn(2)) request.mutable_update_mask()->add_paths("listeners");
        if (OneIn(2)) request.mutable_update_mask()->add_paths("workers");
        return supervisor->UpdatePool(request, kCaller).status().IgnoreError();
      }
      case 5:
        return supervisor->ReloadPool("pools/" + name, kCaller).status().IgnoreError();
      case 6:
        return (OneIn(2) ? supervisor->DrainPool("pools/" + name, kCaller)
                         : supervisor->ResumePool("pools/" + name, kCaller))
            .status()
            .IgnoreError();
      case 7: {
        const std::vector<v1::Operation> operations = supervisor->ListOperations();
        if (operations.empty()) return;
        return supervisor->CancelOperation(operations[0].name(), kCaller).status().IgnoreError();
      }
      default:
        if (factory.live.empty()) return;
        return std::next(factory.live.begin(), Random(static_cast<int>(factory.live.size())))->second->Die(SIGSEGV);
    }
  }

  void MakeTrouble() {
    factory.plan = [this](const WorkerStart&) {
      return FakeWorkerFactory::Plan{.ready_after_ns = Random(2000) * kMs,
                                     .start_error = OneIn(6) ? "ImportError" : "",
                                     .drain_takes_ns = Random(3000) * kMs,
                                     .answers_after_ns = Random(50) * kMs,
                                     .cores_change_after_ns = Random(1000) * kMs};
    };
  }

  void CheckCalm() {
    std::vector<RoutedPool> pools;
    for (const v1::Pool& pool : supervisor->ListPools()) {
      RoutedPool& routed = pools.emplace_back();
      routed.name = pool.name();
      routed.routes = {pool.routes().begin(), pool.routes().end()};
      for (const v1::Listener& listener : pool.listeners()) routed.addresses.push_back(listener.address());
      ASSERT_EQ(sockets.bound[pool.name()].size(), routed.addresses.size());
      ASSERT_EQ(sockets.readiness_of[pool.name()], pool.drained() ? Readiness::kNever : Readiness::kNow);
    }
    ASSERT_EQ(sockets.bound.size(), pools.size()) << "a pool that is gone is still bound";
    const auto routes_of = RoutesOf(pools);
    std::map<std::string, int> receiving, sending;
    const auto same = [](std::map<std::string, int>* known, const std::string& pool, int fd) {
      return known->emplace(pool, fd).first->second == fd;
    };
    for (const auto& [name, worker] : factory.live) {
      const std::string pool = name.substr(0, name.find("/workers/"));
      const WorkerRoutes& told = worker->routes();
      ASSERT_TRUE(google::protobuf::util::MessageDifferencer::Equals(told.message, routes_of.at(pool)))
          << name << " was told " << told.message.ShortDebugString() << " but it is "
          << routes_of.at(pool).ShortDebugString();
      size_t next = 0;
      if (told.message.has_inbox()) {
        ASSERT_TRUE(same(&receiving, pool, told.descriptors.at(next++)->get()));
      }
      for (const std::string& other : told.message.pools()) {
        ASSERT_TRUE(same(&sending, other, told.descriptors.at(next++)->get()));
      }
      ASSERT_EQ(told.descriptors.size(), next);
    }
  }

  std::mt19937_64 random;
};

TEST_P(SupervisorRoutesStressTest, EveryWorkerIsToldWhenThingsCalmDown) {
  const char* replayed = std::getenv("GREENRING_SEED");
  const uint64_t seed = replayed != nullptr ? std::strtoull(replayed, nullptr, 10) : GetParam();
  SCOPED_TRACE("seed " + std::to_string(seed));
  random.seed(seed);
  ASSERT_TRUE(Begin(StateOf({PoolOf("p0", 2), PoolOf("p1", 1, "routes { path_prefix: '/1' }")})).ok());
  for (int round = 0; round < 10; ++round) {
    MakeTrouble();
    for (int step = 0; step < 60; ++step) {
      DoSomething();
      timers.Advance(Random(3) * Random(300) * kMs);
    }
    factory.plan = [](const WorkerStart&) { return FakeWorkerFactory::Plan(); };
    for (const auto& [name, worker] : factory.live) worker->plan() = {};
    timers.Advance(300 * kSecond);
    ASSERT_NO_FATAL_FAILURE(CheckCalm());
  }
  supervisor->Stop();
  timers.Advance(60 * kSecond);
  ASSERT_EQ(stopped, 1);
  ASSERT_TRUE(factory.live.empty());
}

INSTANTIATE_TEST_SUITE_P(Seeds, SupervisorRoutesStressTest, ::testing::Range(1, 31));

}  // namespace
}  // namespace greenring::control
