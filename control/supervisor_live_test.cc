// Changes that running workers take, scaling, draining and deleting.
#include "control/supervisor_fixture.h"

namespace greenring::control {
namespace {

using Plan = FakeWorkerFactory::Plan;

class SupervisorLiveTest : public SupervisorFixture {};

TEST_F(SupervisorLiveTest, ALiveChangeReachesEveryWorkerAndIsDoneWhenEveryCoreRunsIt) {
  factory.plan = [](const WorkerStart&) { return Plan{.cores_change_after_ns = 5 * kSecond}; };
  BeginReady(2);
  const auto operation = Update("async_cores: 512");
  EXPECT_EQ(Now(operation).generation(), 2);
  timers.Advance(1 * kSecond);
  EXPECT_EQ(Worker(1)->pool().async_cores(), 512);
  EXPECT_EQ(Worker(2)->pool().generation(), 2);
  EXPECT_FALSE(Now(operation).done());
  EXPECT_EQ(Now(operation).cores_total(), 16);
  EXPECT_EQ(Now(operation).cores_done(), 0);
  EXPECT_EQ(Web().status().state(), v1::PoolStatus::RECONCILING);
  EXPECT_EQ(Web().status().observed_generation(), 1);
  timers.Advance(5 * kSecond);
  EXPECT_TRUE(Now(operation).done());
  EXPECT_FALSE(Now(operation).has_error());
  EXPECT_EQ(Now(operation).workers_done(), 2);
  EXPECT_EQ(Now(operation).cores_done(), 16);
  EXPECT_EQ(Web().status().observed_generation(), 2);
  EXPECT_EQ(factory.started, 2);
}

TEST_F(SupervisorLiveTest, AWorkerThatStartsMeanwhileGetsTheChange) {
  factory.plan = [](const WorkerStart&) { return Plan{.ready_after_ns = 1 * kSecond}; };
  ASSERT_TRUE(Begin(StateOf({PoolOf("web", 1)})).ok());
  const auto operation = Update("async_cores: 512");
  timers.Advance(500 * kMs);
  EXPECT_FALSE(Now(operation).done());
  timers.Advance(1 * kSecond);
  EXPECT_TRUE(Now(operation).done());
  EXPECT_EQ(Worker(1)->pool().async_cores(), 512);
}

TEST_F(SupervisorLiveTest, LiveChangesFollowEachOtherWithoutWaiting) {
  factory.plan = [](const WorkerStart&) { return Plan{.cores_change_after_ns = 1 * kSecond}; };
  BeginReady(1);
  timers.Advance(2 * kSecond);
  const auto first = Update("async_cores: 512");
  const auto second = Update("stack_size_bytes: 65536");
  timers.Advance(2 * kSecond);
  EXPECT_TRUE(Now(first).done());
  EXPECT_TRUE(Now(second).done());
  EXPECT_EQ(Worker(1)->pool().async_cores(), 512);
  EXPECT_EQ(Worker(1)->pool().stack_size_bytes(), 65536);
  EXPECT_EQ(Web().generation(), 3);
}

TEST_F(SupervisorLiveTest, AWorkerThatDoesNotTurnIsToldAgain) {
  factory.plan = [](const WorkerStart&) { return Plan{.answers_after_ns = kNeverNs}; };
  BeginReady(1);
  const auto operation = Update("async_cores: 512");
  timers.Advance(25 * kSecond);
  EXPECT_FALSE(Now(operation).done());
  Worker(1)->plan().answers_after_ns = 0;
  timers.Advance(11 * kSecond);
  EXPECT_TRUE(Now(operation).done());
}

TEST_F(SupervisorLiveTest, WhatAWorkerRefusesIsRolledBack) {
  factory.plan = [](const WorkerStart& start) {
    return Plan{.refuses_apply = start.start.slot() == 2 ? "no such engine here" : ""};
  };
  BeginReady(2);
  const auto operation = Update("engine: FCONTEXT");
  Worker(2)->plan().refuses_apply = "no such engine here";
  timers.Advance(1 * kMs);
  ASSERT_TRUE(Now(operation).done());
  EXPECT_NE(Now(operation).error().message().find("no such engine here"), std::string::npos);
  Worker(2)->plan().refuses_apply = "";
  timers.Advance(20 * kMs);
  EXPECT_EQ(Web().engine(), v1::UCONTEXT);
  EXPECT_EQ(Web().generation(), 3);
  EXPECT_EQ(Worker(1)->pool().engine(), v1::UCONTEXT);
}

TEST_F(SupervisorLiveTest, AWorkerThatRefusesTheRollbackTooIsReplaced) {
  BeginReady(2);
  Worker(2)->plan().refuses_apply = "not today";
  const auto operation = Update("engine: FCONTEXT");
  timers.Advance(100 * kMs);
  EXPECT_TRUE(Now(operation).has_error());
  EXPECT_EQ(Workers(), "1:READY 3:READY");
  EXPECT_EQ(Web().status().state(), v1::PoolStatus::READY);
}

TEST_F(SupervisorLiveTest, ALiveChangeThatIsOnItsWayCanBeCancelled) {
  factory.plan = [](const WorkerStart&) { return Plan{.cores_change_after_ns = 5 * kSecond}; };
  BeginReady(1);
  timers.Advance(5 * kSecond);
  const auto operation = Update("async_cores: 512");
  timers.Advance(1 * kSecond);
  EXPECT_EQ(supervisor->CancelOperation(operation->name(), kCaller)->error().code(), 1);
  timers.Advance(6 * kSecond);
  EXPECT_EQ(Worker(1)->pool().async_cores(), 256);
  EXPECT_EQ(Web().generation(), 3);
  EXPECT_EQ(Web().status().state(), v1::PoolStatus::READY);
}

TEST_F(SupervisorLiveTest, MoreWorkersServeWhenTheyAreReady) {
  BeginReady(1);
  factory.plan = [](const WorkerStart&) { return Plan{.ready_after_ns = 1 * kSecond}; };
  const auto operation = Update("workers: 3");
  EXPECT_EQ(sockets.slots_of["pools/web"], 3);
  EXPECT_EQ(sockets.active["pools/web"], std::vector<int>{1});
  timers.Advance(500 * kMs);
  EXPECT_FALSE(Now(operation).done());
  EXPECT_EQ(Now(operation).workers_total(), 3);
  EXPECT_EQ(Now(operation).workers_done(), 1);
  timers.Advance(1 * kSecond);
  EXPECT_TRUE(Now(operation).done());
  EXPECT_EQ(sockets.active["pools/web"], (std::vector<int>{1, 2, 3}));
}

TEST_F(SupervisorLiveTest, FewerWorkersTakeWhatWaitsBeforeTheirSocketsGo) {
  factory.plan = [](const WorkerStart&) { return Plan{.drain_takes_ns = 9 * kSecond, .answers_after_ns = 100 * kMs}; };
  BeginReady(3);
  const auto operation = Update("workers: 1");
  EXPECT_EQ(sockets.active["pools/web"], std::vector<int>{1});  // first of all
  EXPECT_EQ(sockets.slots_of["pools/web"], 3);
  EXPECT_TRUE(Worker(2)->accepts());
  timers.Advance(99 * kMs);
  EXPECT_FALSE(Worker(2)->draining());
  timers.Advance(10 * kMs);
  EXPECT_TRUE(Worker(2)->draining());
  EXPECT_EQ(sockets.slots_of["pools/web"], 1);
  EXPECT_EQ(sockets.active["pools/web"], std::vector<int>{1});
  timers.Advance(200 * kMs);
  EXPECT_TRUE(Now(operation).done());
  EXPECT_EQ(Workers(), "1:READY 2:DRAINING 3:DRAINING");
  timers.Advance(10 * kSecond);
  EXPECT_EQ(Workers(), "1:READY");
}

TEST_F(SupervisorLiveTest, ASlotThatComesBackServesBesideTheWorkerThatLeavesIt) {
  factory.plan = [](const WorkerStart&) {
    return Plan{.drain_takes_ns = 9 * kSecond, .answers_after_ns = 1 * kSecond};
  };
  BeginReady(2);
  Update("workers: 1").IgnoreError();
  const auto operation = Update("workers: 2");
  timers.Advance(5 * kSecond);
  EXPECT_TRUE(Now(operation).done());
  EXPECT_EQ(sockets.active["pools/web"], (std::vector<int>{1, 2}));
  EXPECT_EQ(sockets.slots_of["pools/web"], 2);
}

TEST_F(SupervisorLiveTest, AnAddressThatCannotBeBoundLeavesThePoolAsItWas) {
  BeginReady(1);
  sockets.bind_status = absl::FailedPreconditionError("127.0.0.1:8000: no more sockets");
  EXPECT_EQ(Update("workers: 3").status().message(), "127.0.0.1:8000: no more sockets");
  EXPECT_EQ(Web().workers(), 1);
  EXPECT_EQ(Web().generation(), 1);
  EXPECT_EQ(saved.back().pools(0).workers(), 1);
}

TEST_F(SupervisorLiveTest, TheSameConfigurationIsNoChange) {
  BeginReady(1);
  const auto operation = Update("workers: 1");
  EXPECT_TRUE(Now(operation).done());
  EXPECT_EQ(Web().generation(), 1);
}

TEST_F(SupervisorLiveTest, ADrainedPoolHasNoWorkersAndKeepsItsSockets) {
  factory.plan = [](const WorkerStart&) { return Plan{.drain_takes_ns = 2 * kSecond}; };
  BeginReady(2);
  const auto drain = supervisor->DrainPool("pools/web", kCaller);
  timers.Advance(1 * kSecond);
  EXPECT_FALSE(Now(drain).done());
  EXPECT_EQ(Now(drain).workers_total(), 2);
  timers.Advance(2 * kSecond);
  EXPECT_TRUE(Now(drain).done());
  EXPECT_EQ(Workers(), "");
  EXPECT_EQ(Web().status().state(), v1::PoolStatus::DRAINED);
  EXPECT_TRUE(Web().drained());
  EXPECT_EQ(sockets.slots_of["pools/web"], 2);
  EXPECT_TRUE(saved.back().pools(0).drained());
  EXPECT_TRUE(supervisor->AllReady());

  EXPECT_TRUE(absl::IsFailedPrecondition(supervisor->ReloadPool("pools/web", kCaller).status()));
  EXPECT_TRUE(Now(Update("async_cores: 100")).done());  // holds when it resumes

  const auto resume = supervisor->ResumePool("pools/web", kCaller);
  timers.Advance(10 * kMs);
  EXPECT_TRUE(Now(resume).done());
  EXPECT_EQ(Workers(), "3:READY 4:READY");
  EXPECT_EQ(Worker(3)->started_with().async_cores(), 100);
  EXPECT_FALSE(saved.back().pools(0).drained());
}

TEST_F(SupervisorLiveTest, ResumeEndsADrainThatIsUnderWay) {
  factory.plan = [](const WorkerStart&) { return Plan{.drain_takes_ns = 2 * kSecond}; };
  BeginReady(1);
  const auto drain = supervisor->DrainPool("pools/web", kCaller);
  const auto resume = supervisor->ResumePool("pools/web", kCaller);
  EXPECT_EQ(Now(drain).error().code(), static_cast<int>(absl::StatusCode::kAborted));
  timers.Advance(10 * kMs);
  EXPECT_TRUE(Now(resume).done());
  EXPECT_EQ(Workers(), "1:DRAINING 2:READY");
}

TEST_F(SupervisorLiveTest, ADeletedPoolGoesWithItsSocketsWhenItsWorkersHaveDrained) {
  factory.plan = [](const WorkerStart&) { return Plan{.drain_takes_ns = 2 * kSecond}; };
  BeginReady(1);
  v1::DeletePoolRequest request;
  request.set_name("pools/web");
  const auto operation = supervisor->DeletePool(request, kCaller);
  EXPECT_TRUE(sockets.bound.empty());
  EXPECT_EQ(Web().status().state(), v1::PoolStatus::DELETING);
  EXPECT_TRUE(absl::IsFailedPrecondition(Update("workers: 2").status()));
  timers.Advance(3 * kSecond);
  EXPECT_TRUE(Now(operation).done());
  EXPECT_TRUE(supervisor->ListPools().empty());
  EXPECT_EQ(Count(v1::Event::POOL_DELETED), 1);
  EXPECT_TRUE(absl::IsNotFound(supervisor->DeletePool(request, kCaller).status()));
  request.set_allow_missing(true);
  EXPECT_TRUE(supervisor->DeletePool(request, kCaller)->done());
}

TEST_F(SupervisorLiveTest, WhoIsToldThatAPoolIsDeletedDoesNotFindItAndMayCreateItAgain) {
  struct Client : ControlPlane::Observer {
    void OnEvent(const v1::Event&) override {}
    void OnOperation(const v1::Operation& operation) override {
      if (operation.verb() == "delete" && operation.done()) call = timers->After(0, calls);
    }
    SimTimers* timers;
    std::function<void()> calls;
    std::unique_ptr<Timers::Timer> call;
  };
  BeginReady(1);
  bool called = false;
  Client client;
  client.timers = &timers;
  client.calls = [&] {
    called = true;
    EXPECT_TRUE(absl::IsNotFound(supervisor->GetPool("pools/web").status()));
    EXPECT_TRUE(supervisor->ListPools().empty());
    v1::CreatePoolRequest create;
    create.set_pool_id("web");
    *create.mutable_pool() = PoolOf("web", 1);
    EXPECT_TRUE(supervisor->CreatePool(create, kCaller).ok());
  };
  supervisor->AddObserver(&client);
  v1::DeletePoolRequest request;
  request.set_name("pools/web");
  EXPECT_TRUE(supervisor->DeletePool(request, kCaller).ok());
  timers.Advance(1 * kSecond);
  supervisor->RemoveObserver(&client);
  EXPECT_TRUE(called);
  EXPECT_EQ(Web().status().state(), v1::PoolStatus::READY);
  EXPECT_EQ(Count(v1::Event::POOL_DELETED), 1);
}

TEST_F(SupervisorLiveTest, WhatASignalScalesIsOneWorkerAtLeast) {
  BeginReady(1);
  supervisor->ScaleAll(+1, kCaller);
  EXPECT_EQ(Web().workers(), 2);
  EXPECT_EQ(saved.back().pools(0).workers(), 2);
  supervisor->ScaleAll(-1, kCaller);
  supervisor->ScaleAll(-1, kCaller);
  EXPECT_EQ(Web().workers(), 1);
}

}  // namespace
}  // namespace greenring::control
