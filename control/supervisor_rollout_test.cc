// Replacing all workers: reloads and START changes, and going back from them.
#include <signal.h>

#include <set>
#include <string>

#include "control/supervisor_fixture.h"

namespace greenring::control {
namespace {

using Plan = FakeWorkerFactory::Plan;

class SupervisorRolloutTest : public SupervisorFixture {
 protected:
  // From now on workers take a second to start, and fail in the slots given.
  void LetStartsTakeASecond(std::set<int> failing = {}) {
    factory.plan = [failing](const WorkerStart& start) {
      const bool fails = failing.contains(start.start.slot());
      return Plan{.ready_after_ns = 1 * kSecond, .start_error = fails ? "SyntaxError" : "", .configuration = fails};
    };
  }

  static std::string Error(const v1::Operation& operation) { return operation.error().message(); }
};

TEST_F(SupervisorRolloutTest, AReloadStopsNoWorkerBeforeAllNewOnesAreReady) {
  BeginReady(3);
  LetStartsTakeASecond();
  const auto operation = supervisor->ReloadPool("pools/web", kCaller);
  // A quarter of the slots at a time, but one.
  EXPECT_EQ(Workers(), "1:READY 2:READY 3:READY 4:STARTING");
  timers.Advance(2500 * kMs);
  EXPECT_EQ(Workers(), "1:READY 2:READY 3:READY 4:READY 5:READY 6:STARTING");
  EXPECT_EQ(Now(operation).workers_done(), 2);
  EXPECT_EQ(Now(operation).workers_total(), 3);
  EXPECT_EQ(Web().status().state(), v1::PoolStatus::RECONCILING);
  timers.Advance(600 * kMs);
  EXPECT_EQ(Workers(), "4:READY 5:READY 6:READY");
  EXPECT_TRUE(Now(operation).done());
  EXPECT_FALSE(Now(operation).has_error());
  EXPECT_EQ(Web().generation(), 1);
  EXPECT_EQ(Count(v1::Event::WORKER_DIED), 0);
}

TEST_F(SupervisorRolloutTest, AReloadWhoseLastWorkerFailsKeepsEveryOldOne) {
  BeginReady(3);
  LetStartsTakeASecond({3});
  const auto operation = supervisor->ReloadPool("pools/web", kCaller);
  timers.Advance(3500 * kMs);
  EXPECT_EQ(Workers(), "1:READY 2:READY 3:READY");
  EXPECT_EQ(Now(operation).error().code(), static_cast<int>(absl::StatusCode::kAborted));
  EXPECT_NE(Error(Now(operation)).find("SyntaxError"), std::string::npos);
  timers.Advance(100 * kSecond);
  EXPECT_EQ(factory.started, 6);  // it is not tried again
  EXPECT_EQ(Web().status().state(), v1::PoolStatus::READY);
  EXPECT_EQ(Count(v1::Event::OPERATION_FAILED), 1);
}

TEST_F(SupervisorRolloutTest, AReloadWhoseWorkersAreTooSlowIsAborted) {
  BeginReady(2, "timeouts { start { seconds: 5 } }");
  factory.plan = [](const WorkerStart&) { return Plan{.ready_after_ns = kNeverNs}; };
  const auto operation = supervisor->ReloadPool("pools/web", kCaller);
  timers.Advance(6 * kSecond);
  EXPECT_NE(Error(Now(operation)).find("not ready within 5 s"), std::string::npos);
  EXPECT_EQ(Workers(), "1:READY 2:READY");
}

TEST_F(SupervisorRolloutTest, AnOldWorkerThatDiesDuringAReloadIsFollowedByItsSuccessor) {
  BeginReady(2);
  LetStartsTakeASecond();
  const auto operation = supervisor->ReloadPool("pools/web", kCaller);
  timers.Advance(1500 * kMs);
  Worker(1)->Die(SIGKILL);
  timers.Settle();
  EXPECT_EQ(Workers(), "2:READY 3:READY 4:STARTING");
  timers.Advance(1 * kSecond);
  EXPECT_TRUE(Now(operation).done());
  EXPECT_FALSE(Now(operation).has_error());
  EXPECT_EQ(Workers(), "3:READY 4:READY");
}

TEST_F(SupervisorRolloutTest, ANewWorkerThatDiesDuringAReloadAbortsIt) {
  BeginReady(2);
  LetStartsTakeASecond();
  const auto operation = supervisor->ReloadPool("pools/web", kCaller);
  timers.Advance(1500 * kMs);
  Worker(3)->Die(SIGSEGV);
  timers.Advance(1 * kSecond);
  EXPECT_NE(Error(Now(operation)).find("pools/web/workers/3 died: signal 11"), std::string::npos);
  EXPECT_EQ(Workers(), "1:READY 2:READY");
}

TEST_F(SupervisorRolloutTest, AReloadCanBeCancelled) {
  BeginReady(2);
  LetStartsTakeASecond();
  const auto operation = supervisor->ReloadPool("pools/web", kCaller);
  timers.Advance(1500 * kMs);
  EXPECT_TRUE(supervisor->CancelOperation(operation->name(), kCaller).ok());
  EXPECT_EQ(Error(Now(operation)), "cancelled by uid 1000 (alice)");
  timers.Advance(10 * kMs);
  EXPECT_EQ(Workers(), "1:READY 2:READY");
  EXPECT_TRUE(absl::IsFailedPrecondition(supervisor->CancelOperation(operation->name(), kCaller).status()));
}

TEST_F(SupervisorRolloutTest, AStartChangeReplacesEveryWorker) {
  BeginReady(2);
  LetStartsTakeASecond();
  const auto operation = Update("application { target: 'shop:new' }");
  EXPECT_EQ(Now(operation).generation(), 2);
  timers.Advance(1500 * kMs);
  EXPECT_TRUE(saved.empty() || saved.back().pools(0).application().target() == "shop:app");  // it can be rolled back
  timers.Advance(1 * kSecond);
  EXPECT_TRUE(Now(operation).done());
  EXPECT_EQ(Workers(), "3:READY 4:READY");
  EXPECT_EQ(Worker(3)->started_with().application().target(), "shop:new");
  EXPECT_EQ(Web().status().observed_generation(), 2);
  EXPECT_EQ(saved.back().pools(0).application().target(), "shop:new");
  EXPECT_EQ(saved.back().pools(0).generation(), 2);
}

TEST_F(SupervisorRolloutTest, AStartChangeThatFailsIsRolledBackAsANewGeneration) {
  BeginReady(2);
  LetStartsTakeASecond({2});
  const auto operation = Update("application { target: 'shop:new' }");
  timers.Advance(3 * kSecond);
  EXPECT_NE(Error(Now(operation)).find("SyntaxError"), std::string::npos);
  EXPECT_EQ(Workers(), "1:READY 2:READY");
  EXPECT_EQ(Web().application().target(), "shop:app");
  EXPECT_EQ(Web().generation(), 3);
  EXPECT_EQ(Web().status().observed_generation(), 3);
  EXPECT_EQ(Web().status().state(), v1::PoolStatus::READY);
  EXPECT_EQ(saved.back().pools(0).application().target(), "shop:app");
}

TEST_F(SupervisorRolloutTest, ARollbackReplacesWhatHasTakenThePlaceOfADeadWorker) {
  BeginReady(2);
  LetStartsTakeASecond({2});
  Update("application { target: 'shop:new' }").IgnoreError();
  timers.Advance(1500 * kMs);
  Worker(1)->Die(SIGKILL);  // its successor serves, with the new configuration
  timers.Advance(1 * kSecond);
  LetStartsTakeASecond();
  timers.Advance(3 * kSecond);
  for (int slot = 1; slot <= 2; ++slot) {
    ASSERT_EQ(factory.InSlot(slot).size(), 1u);
    EXPECT_EQ(factory.InSlot(slot)[0]->started_with().application().target(), "shop:app");
  }
  EXPECT_EQ(Web().status().state(), v1::PoolStatus::READY);
}

TEST_F(SupervisorRolloutTest, WhileListenersChangeOldAndNewAreBound) {
  BeginReady(1);
  LetStartsTakeASecond();
  const auto operation = Update("listeners { address: '127.0.0.1:9000' }");
  EXPECT_EQ(sockets.bound["pools/web"].size(), 2u);
  timers.Advance(500 * kMs);
  EXPECT_EQ(factory.InSlot(1).size(), 2u);
  EXPECT_EQ(Worker(2)->sockets(), std::vector<int>{100});
  timers.Advance(1 * kSecond);
  EXPECT_TRUE(Now(operation).done());
  ASSERT_EQ(sockets.bound["pools/web"].size(), 1u);
  EXPECT_EQ(sockets.bound["pools/web"][0].address(), "127.0.0.1:9000");
}

TEST_F(SupervisorRolloutTest, ARolledBackChangeOfListenersBindsTheOldOnes) {
  BeginReady(1);
  LetStartsTakeASecond({1});
  Update("listeners { address: '127.0.0.1:9000' }").IgnoreError();
  timers.Advance(2 * kSecond);
  ASSERT_EQ(sockets.bound["pools/web"].size(), 1u);
  EXPECT_EQ(sockets.bound["pools/web"][0].address(), "127.0.0.1:8000");
}

TEST_F(SupervisorRolloutTest, WhatWouldBeLostWithARollbackIsRefusedMeanwhile) {
  BeginReady(1);
  LetStartsTakeASecond();
  const auto operation = Update("application { target: 'shop:new' }");
  for (const absl::Status& status :
       {Update("async_cores: 100").status(), Update("application { target: 'shop:other' }").status(),
        supervisor->ReloadPool("pools/web", kCaller).status(),
        supervisor->RestartWorker("pools/web/workers/1", kCaller).status()}) {
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_NE(std::string(status.message()).find(operation->name()), std::string::npos) << status;
  }
  timers.Advance(2 * kSecond);
  EXPECT_TRUE(Update("async_cores: 100").ok());
}

TEST_F(SupervisorRolloutTest, ALiveChangeDuringAReloadHoldsForOldAndNewWorkers) {
  BeginReady(2);
  LetStartsTakeASecond();
  const auto reload = supervisor->ReloadPool("pools/web", kCaller);
  timers.Advance(500 * kMs);
  const auto update = Update("async_cores: 100");
  timers.Advance(10 * kMs);
  EXPECT_EQ(Worker(1)->pool().async_cores(), 100);
  timers.Advance(2 * kSecond);
  EXPECT_TRUE(Now(reload).done());
  EXPECT_TRUE(Now(update).done());
  for (int slot = 1; slot <= 2; ++slot) EXPECT_EQ(factory.InSlot(slot)[0]->pool().async_cores(), 100);
}

TEST_F(SupervisorRolloutTest, DrainSupersedesAReload) {
  BeginReady(2);
  LetStartsTakeASecond();
  const auto reload = supervisor->ReloadPool("pools/web", kCaller);
  timers.Advance(1500 * kMs);
  const auto drain = supervisor->DrainPool("pools/web", kCaller);
  EXPECT_EQ(Error(Now(reload)), "the pool is drained");
  timers.Advance(10 * kMs);
  EXPECT_TRUE(Now(drain).done());
  EXPECT_EQ(Workers(), "");
}

TEST_F(SupervisorRolloutTest, AChangeOfAPoolThatCannotStartIsTriedAtOnceAndStays) {
  factory.plan = [](const WorkerStart&) { return Plan{.start_error = "ImportError", .configuration = true}; };
  ASSERT_TRUE(Begin(StateOf({PoolOf("web", 2)})).ok());
  timers.Advance(100 * kSecond);
  const auto worse = Update("application { target: 'shop:worse' }");
  timers.Advance(10 * kMs);
  EXPECT_NE(Error(Now(worse)).find("ImportError"), std::string::npos);
  EXPECT_EQ(Web().application().target(), "shop:worse");
  factory.plan = [](const WorkerStart&) { return Plan(); };
  const auto better = Update("application { target: 'shop:good' }");
  timers.Advance(10 * kMs);
  EXPECT_TRUE(Now(better).done());
  EXPECT_FALSE(Now(better).has_error());
  EXPECT_EQ(Web().status().state(), v1::PoolStatus::READY);
  EXPECT_EQ(saved.back().pools(0).application().target(), "shop:good");
}

TEST_F(SupervisorRolloutTest, AStartChangeMayScaleToo) {
  BeginReady(3);
  LetStartsTakeASecond();
  const auto operation = Update("application { target: 'shop:new' } workers: 1");
  timers.Advance(2 * kSecond);
  EXPECT_TRUE(Now(operation).done());
  EXPECT_EQ(Workers(), "4:READY");
  EXPECT_EQ(sockets.slots_of["pools/web"], 1);
}

TEST_F(SupervisorRolloutTest, ARestartReplacesOneWorker) {
  BeginReady(2);
  LetStartsTakeASecond();
  const auto operation = supervisor->RestartWorker("pools/web/workers/1", kCaller);
  timers.Advance(500 * kMs);
  EXPECT_EQ(Workers(), "1:READY 2:READY 3:STARTING");
  timers.Advance(1 * kSecond);
  EXPECT_EQ(Workers(), "2:READY 3:READY");
  EXPECT_TRUE(Now(operation).done());
  EXPECT_EQ(Now(operation).workers_done(), 1);
  EXPECT_TRUE(absl::IsNotFound(supervisor->RestartWorker("pools/web/workers/1", kCaller).status()));
}

TEST_F(SupervisorRolloutTest, ARestartThatFailsKeepsTheWorker) {
  BeginReady(2);
  LetStartsTakeASecond({1});
  const auto operation = supervisor->RestartWorker("pools/web/workers/1", kCaller);
  timers.Advance(100 * kSecond);
  EXPECT_EQ(Workers(), "1:READY 2:READY");
  EXPECT_NE(Error(Now(operation)).find("SyntaxError"), std::string::npos);
  EXPECT_EQ(factory.started, 3);
}

TEST_F(SupervisorRolloutTest, LargePoolsStartAQuarterAtATime) {
  BeginReady(16);
  LetStartsTakeASecond();
  supervisor->ReloadPool("pools/web", kCaller).IgnoreError();
  EXPECT_EQ(Web().status().workers_starting(), 4);
  timers.Advance(1 * kSecond);
  EXPECT_EQ(Web().status().workers_starting(), 4);
  timers.Advance(3500 * kMs);
  EXPECT_EQ(Web().status().state(), v1::PoolStatus::READY);
}

}  // namespace
}  // namespace greenring::control
