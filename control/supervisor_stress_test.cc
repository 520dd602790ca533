// Operators, crashes, slow starts and failures at random. Whatever happens: no slot has more workers than it may,
// counters and generations do not fall, every operation ends, and when things calm down what is desired is there.
//
// A failure prints its seed; GREENRING_SEED=... replays it.
#include <signal.h>

#include <cstdlib>
#include <map>
#include <random>
#include <string>

#include "control/supervisor_fixture.h"

namespace greenring::control {
namespace {

class SupervisorStressTest : public SupervisorFixture {
 protected:
  int Random(int count) { return std::uniform_int_distribution<int>(0, count - 1)(random); }
  bool OneIn(int count) { return Random(count) == 0; }

  void MakeTrouble() {
    factory.plan = [this](const WorkerStart&) {
      FakeWorkerFactory::Plan plan;
      plan.ready_after_ns = OneIn(10) ? kNeverNs : Random(3000) * kMs;
      if (OneIn(6)) {
        plan.start_error = "ImportError";
        plan.configuration = OneIn(2);
      }
      plan.drain_takes_ns = OneIn(10) ? kNeverNs : Random(5000) * kMs;
      plan.answers_after_ns = OneIn(10) ? 20 * kSecond : Random(50) * kMs;
      plan.cores_change_after_ns = Random(3000) * kMs;
      if (OneIn(20)) plan.refuses_apply = "not today";
      return plan;
    };
  }

  FakeWorker* AnyWorker() {
    if (factory.live.empty()) return nullptr;
    auto worker = factory.live.begin();
    std::advance(worker, Random(static_cast<int>(factory.live.size())));
    return worker->second;
  }

  void DoSomething() {
    switch (Random(14)) {
      case 0:
        return Ignore(Update("async_cores: " + std::to_string(1 + Random(500))));
      case 1:
      case 2:
        return Ignore(Update("workers: " + std::to_string(1 + Random(6))));
      case 3:
        return Ignore(Update("application { target: 'shop:app" + std::to_string(Random(3)) + "' }"));
      case 4:
        return Ignore(supervisor->ReloadPool("pools/web", kCaller));
      case 5:
        return Ignore(OneIn(3) ? supervisor->DrainPool("pools/web", kCaller)
                               : supervisor->ResumePool("pools/web", kCaller));
      case 6: {
        v1::Canary canary;
        canary.set_percent(1 + Random(99));
        canary.mutable_duration()->set_seconds(1 + Random(10));
        return Ignore(Update("stack_size_bytes: " + std::to_string((1 + Random(8)) * 65536), &canary));
      }
      case 7: {
        const auto workers = *supervisor->ListWorkers("pools/-", false);
        if (!workers.empty()) Ignore(supervisor->RestartWorker(workers[Random(workers.size())].name(), kCaller));
        return;
      }
      case 8: {
        const auto operations = supervisor->ListOperations();
        if (!operations.empty()) Ignore(supervisor->CancelOperation(operations[0].name(), kCaller));
        return;
      }
      case 9:
        return Ignore(Update("listeners { address: '127.0.0.1:" + std::to_string(8000 + Random(3)) + "' }"));
      default:
        return TroubleAWorker();
    }
  }

  void TroubleAWorker() {
    FakeWorker* worker = AnyWorker();
    if (worker == nullptr) return;
    if (OneIn(3)) return worker->Die(SIGSEGV);
    if (!worker->ready() || worker->draining()) return;
    if (OneIn(3)) return worker->Unfit("it is old", OneIn(2));
    worker->Serve(worker->pool().generation(), Random(300), Random(20), Random(100) * kMs);
    worker->SendReport();
  }

  static void Ignore(const absl::StatusOr<v1::Operation>& operation) { operation.status().IgnoreError(); }

  void CheckInvariants() {
    std::map<int, int> ready;
    const std::vector<v1::Worker> workers = supervisor->ListWorkers("pools/web", false).value();
    for (const v1::Worker& worker : workers) {
      if (worker.state() == v1::Worker::READY) ++ready[worker.slot()];
    }
    for (const auto& [slot, count] : ready) {
      ASSERT_LE(count, 2) << "slot " << slot;
      ASSERT_LE(slot, sockets.slots_of["pools/web"]);
    }
    for (const int slot : sockets.active["pools/web"]) ASSERT_LE(slot, sockets.slots_of["pools/web"]);
    const int64_t served = supervisor->ListStatistics({})[0].total().requests();
    ASSERT_GE(served, last_served);
    last_served = served;
    ASSERT_GE(Web().generation(), last_generation);
    last_generation = Web().generation();
  }

  void CheckCalm() {
    const v1::Pool pool = Web();
    ASSERT_EQ(pool.status().state(), pool.drained() ? v1::PoolStatus::DRAINED : v1::PoolStatus::READY)
        << pool.status().ShortDebugString();
    ASSERT_EQ(pool.status().workers_ready(), pool.drained() ? 0 : pool.workers()) << Workers();
    ASSERT_EQ(pool.status().workers_draining(), 0);
    ASSERT_EQ(sockets.slots_of["pools/web"], pool.workers());
    ASSERT_EQ(sockets.bound["pools/web"].size(), 1u);
    ASSERT_EQ(sockets.bound["pools/web"][0].address(), pool.listeners(0).address());
    for (const auto& [name, worker] : factory.live) {
      ASSERT_EQ(worker->pool().generation(), pool.generation()) << name;
      ASSERT_EQ(worker->canary_percent(), 0) << name;
      ASSERT_EQ(worker->started_with().application().target(), pool.application().target()) << name;
      ASSERT_EQ(worker->pool().async_cores(), pool.async_cores()) << name;
    }
    for (const v1::Operation& operation : supervisor->ListOperations()) {
      ASSERT_TRUE(operation.done()) << operation.ShortDebugString();
    }
    if (!saved.empty()) {
      ASSERT_EQ(EtagOf(saved.back().pools(0)), pool.etag());
    }
  }

  void Run(uint64_t seed) {
    random.seed(seed);
    ASSERT_TRUE(Begin(StateOf({PoolOf("web", 3, "timeouts { start { seconds: 5 } drain { seconds: 4 } }")})).ok());
    for (int round = 0; round < 4; ++round) {
      MakeTrouble();
      for (int step = 0; step < 150; ++step) {
        DoSomething();
        timers.Advance(Random(4) * Random(300) * kMs);
        ASSERT_NO_FATAL_FAILURE(CheckInvariants());
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

  std::mt19937_64 random;
  int64_t last_served = 0;
  int64_t last_generation = 0;
};

class SeededSupervisorStressTest : public SupervisorStressTest, public ::testing::WithParamInterface<int> {};

TEST_P(SeededSupervisorStressTest, ConvergesWhenThingsCalmDown) {
  const char* replayed = std::getenv("GREENRING_SEED");
  const uint64_t seed = replayed != nullptr ? std::strtoull(replayed, nullptr, 10) : GetParam();
  SCOPED_TRACE("seed " + std::to_string(seed));
  Run(seed);
}

INSTANTIATE_TEST_SUITE_P(Seeds, SeededSupervisorStressTest, ::testing::Range(1, 41));

}  // namespace
}  // namespace greenring::control
