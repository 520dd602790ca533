// A supervisor in a world of its own: workers, sockets, disk and time are the test's.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "control/config/pool_config.h"
#include "control/fake_worker.h"
#include "control/sim_timers.h"
#include "control/supervisor.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace greenring::control {

class SupervisorFixture : public ::testing::Test, protected ControlPlane::Observer, protected Supervisor::Host {
 protected:
  static constexpr int64_t kMs = kNanosecondsPerMillisecond;
  static constexpr int64_t kSecond = kNanosecondsPerSecond;

  SupervisorFixture() : factory(&timers) {}

  static v1::Pool PoolOf(const std::string& name, int workers, const std::string& more = "") {
    v1::Pool pool;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(more, &pool));
    pool.set_name("pools/" + name);
    pool.mutable_application()->set_target("shop:app");
    pool.set_workers(workers);
    if (pool.listeners().empty()) pool.add_listeners()->set_address("127.0.0.1:8000");
    FillDefaults(&pool);
    return pool;
  }

  static DesiredState StateOf(const std::vector<v1::Pool>& pools) {
    DesiredState state;
    for (const v1::Pool& pool : pools) state.pools[pool.name()] = pool;
    return state;
  }

  absl::Status Begin(DesiredState state) {
    Supervisor::Environment environment = {.timers = &timers,
                                           .factory = &factory,
                                           .sockets = &sockets,
                                           .cpus = {0, 1},
                                           .seed = 1,
                                           .save = [this](const v1::Configuration& kept) {
                                             if (save_status.ok()) saved.push_back(kept);
                                             return save_status;
                                           }};
    supervisor = std::make_unique<Supervisor>(std::move(environment), &server, std::move(state),
                                              static_cast<Supervisor::Host*>(this));
    supervisor->AddObserver(this);
    return supervisor->Begin();
  }

  // A pool "web", whose workers are ready.
  void BeginReady(int workers, const std::string& more = "") {
    ASSERT_TRUE(Begin(StateOf({PoolOf("web", workers, more)})).ok());
    timers.Advance(10 * kMs);
    ASSERT_EQ(Web().status().state(), v1::PoolStatus::READY);
  }

  v1::Pool Web() { return *supervisor->GetPool("pools/web"); }
  FakeWorker* Worker(int number) { return factory.Find("pools/web/workers/" + std::to_string(number)); }

  // "1:READY 2:STARTING": by number.
  std::string Workers(bool ended = false) {
    std::string text;
    const std::vector<v1::Worker> workers = supervisor->ListWorkers("pools/web", ended).value();
    for (const v1::Worker& worker : workers) {
      if (!text.empty()) text += " ";
      text += worker.name().substr(worker.name().rfind('/') + 1) + ":" + v1::Worker::State_Name(worker.state());
    }
    return text;
  }

  absl::StatusOr<v1::Operation> Update(const std::string& changes, const v1::Canary* canary = nullptr) {
    v1::UpdatePoolRequest request;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(changes, request.mutable_pool()));
    request.mutable_pool()->set_name("pools/web");
    if (canary != nullptr) *request.mutable_canary() = *canary;
    return supervisor->UpdatePool(request, kCaller);
  }

  v1::Operation Now(const absl::StatusOr<v1::Operation>& operation) {
    EXPECT_TRUE(operation.ok()) << operation.status();
    return operation.ok() ? *supervisor->GetOperation(operation->name()) : v1::Operation();
  }

  int Count(v1::Event::Kind kind) const {
    int count = 0;
    for (const v1::Event& event : events) count += event.kind() == kind ? 1 : 0;
    return count;
  }

  void OnEvent(const v1::Event& event) override { events.push_back(event); }
  void OnOperation(const v1::Operation& operation) override { steps.push_back(operation); }
  void OnChanged() override {}
  void OnStopped() override { ++stopped; }

  v1::Server server;
  const Caller kCaller = {"uid 1000 (alice)"};
  SimTimers timers;
  FakeWorkerFactory factory;
  FakeListeningSockets sockets;
  absl::Status save_status;
  std::vector<v1::Configuration> saved;
  std::vector<v1::Event> events;
  std::vector<v1::Operation> steps;
  int stopped = 0;
  std::unique_ptr<Supervisor> supervisor;
};

}  // namespace greenring::control
