// How workers start, die and are started again.
#include <signal.h>

#include "control/supervisor_fixture.h"

namespace greenring::control {
namespace {

using Plan = FakeWorkerFactory::Plan;

class SupervisorStartTest : public SupervisorFixture {};

TEST_F(SupervisorStartTest, EverySlotGetsAWorkerWithItsSocket) {
  ASSERT_TRUE(Begin(StateOf({PoolOf("web", 3)})).ok());
  EXPECT_EQ(Workers(), "1:STARTING 2:STARTING 3:STARTING");
  EXPECT_EQ(Web().status().state(), v1::PoolStatus::STARTING);
  EXPECT_EQ(sockets.active["pools/web"], (std::vector<int>{1, 2, 3}));  // connections wait
  timers.Advance(10 * kMs);
  EXPECT_EQ(Workers(), "1:READY 2:READY 3:READY");
  EXPECT_EQ(Web().status().state(), v1::PoolStatus::READY);
  EXPECT_EQ(Web().status().observed_generation(), 1);
  EXPECT_EQ(Worker(2)->sockets(), std::vector<int>{200});
  EXPECT_EQ(Count(v1::Event::POOL_READY), 1);
  EXPECT_TRUE(supervisor->AllReady());
}

TEST_F(SupervisorStartTest, AnAddressThatCannotBeBoundIsAnError) {
  sockets.bind_status = absl::AlreadyExistsError("127.0.0.1:8000 is in use");
  EXPECT_EQ(Begin(StateOf({PoolOf("web", 1)})).message(), "127.0.0.1:8000 is in use");
}

TEST_F(SupervisorStartTest, OneThatDiesIsStartedAgainAtOnce) {
  BeginReady(2);
  Worker(1)->Die(SIGKILL);
  timers.Settle();
  EXPECT_EQ(Workers(), "2:READY 3:STARTING");
  EXPECT_EQ(sockets.active["pools/web"], std::vector<int>{2});  // not to whom nobody serves
  timers.Advance(1 * kMs);
  EXPECT_EQ(Workers(), "2:READY 3:READY");
  EXPECT_EQ(sockets.active["pools/web"], (std::vector<int>{1, 2}));
  const v1::Worker ended = *supervisor->GetWorker("pools/web/workers/1");
  EXPECT_EQ(ended.state(), v1::Worker::ENDED);
  EXPECT_EQ(ended.end_reason(), "signal 9");
  EXPECT_EQ(ended.end_dump(), "last words");
  EXPECT_EQ(Web().status().restarts(), 1);
  EXPECT_EQ(Count(v1::Event::WORKER_DIED), 1);
}

TEST_F(SupervisorStartTest, WhenTheLastOneDiesConnectionsWaitEverywhere) {
  BeginReady(2);
  Worker(1)->Die(SIGKILL);
  Worker(2)->Die(SIGKILL);
  timers.Settle();
  EXPECT_EQ(sockets.active["pools/web"], (std::vector<int>{1, 2}));
}

TEST_F(SupervisorStartTest, OneThatDiesAgainAndAgainWaitsEverLonger) {
  factory.plan = [](const WorkerStart&) { return Plan{.ready_after_ns = 0}; };
  ASSERT_TRUE(Begin(StateOf({PoolOf("web", 1)})).ok());
  timers.Settle();
  std::vector<int64_t> waits_ms;
  for (int number = 1; number <= 12; ++number) {
    Worker(number)->Die(SIGSEGV);
    const int64_t died_ns = timers.NowNs();
    while (Worker(number + 1) == nullptr && timers.NowNs() - died_ns < 100 * kSecond) timers.Advance(1 * kMs);
    waits_ms.push_back((timers.NowNs() - died_ns) / kMs);
    timers.Settle();
  }
  EXPECT_LE(waits_ms[0], 1);
  int64_t least_ms = 100;
  for (size_t i = 1; i < waits_ms.size(); ++i) {
    EXPECT_GE(waits_ms[i], least_ms) << i;
    EXPECT_LE(waits_ms[i], least_ms + least_ms / 10 + 1) << i;
    least_ms = std::min<int64_t>(30'000, least_ms * 2);
  }
}

TEST_F(SupervisorStartTest, AMinuteOfHealthForgetsEarlierDeaths) {
  BeginReady(1);
  for (int number = 1; number <= 4; ++number) {
    Worker(number)->Die(SIGKILL);
    timers.Advance(2 * kSecond);
  }
  timers.Advance(60 * kSecond);
  Worker(5)->Die(SIGKILL);
  timers.Settle();
  EXPECT_NE(Worker(6), nullptr);
}

TEST_F(SupervisorStartTest, EachSlotWaitsForItself) {
  BeginReady(2);
  Worker(1)->Die(SIGKILL);
  timers.Advance(10 * kMs);
  Worker(3)->Die(SIGKILL);
  timers.Settle();
  EXPECT_EQ(Workers(), "2:READY");  // slot 1 waits
  Worker(2)->Die(SIGKILL);
  timers.Settle();
  EXPECT_EQ(Workers(), "4:STARTING");  // slot 2 does not
}

TEST_F(SupervisorStartTest, OneThatIsNotReadyInTimeIsKilled) {
  factory.plan = [](const WorkerStart&) { return Plan{.ready_after_ns = kNeverNs}; };
  ASSERT_TRUE(Begin(StateOf({PoolOf("web", 1, "timeouts { start { seconds: 7 } }")})).ok());
  timers.Advance(7 * kSecond - 1);
  EXPECT_EQ(Workers(), "1:STARTING");
  timers.Advance(1);
  EXPECT_EQ(Workers(), "");
  EXPECT_EQ(supervisor->GetWorker("pools/web/workers/1")->end_reason(), "killed: it was not ready within 7 s");
  EXPECT_EQ(Web().status().state(), v1::PoolStatus::START_FAILED);
  timers.Advance(99 * kMs);
  EXPECT_EQ(Workers(), "");  // not at once: it never served
  timers.Advance(12 * kMs);
  EXPECT_EQ(Workers(), "2:STARTING");
}

TEST_F(SupervisorStartTest, AnApplicationThatCannotBeImportedIsTriedByOneWorkerEverMoreSlowly) {
  factory.plan = [](const WorkerStart&) { return Plan{.start_error = "ImportError: no shop", .configuration = true}; };
  ASSERT_TRUE(Begin(StateOf({PoolOf("web", 4)})).ok());
  timers.Advance(100 * kMs);
  EXPECT_EQ(factory.started, 4);
  EXPECT_EQ(Web().status().state(), v1::PoolStatus::START_FAILED);
  EXPECT_EQ(Web().status().message(), "ImportError: no shop");
  EXPECT_EQ(Count(v1::Event::POOL_START_FAILED), 1);
  // 1, 2, 4, ... 60 s, with a tenth of jitter at most.
  timers.Advance(895 * kMs);
  EXPECT_EQ(factory.started, 4);
  timers.Advance(110 * kMs);
  EXPECT_EQ(factory.started, 5);
  timers.Advance(10 * 60 * kSecond);
  EXPECT_GE(factory.started, 13);
  EXPECT_LE(factory.started, 20);
  EXPECT_EQ(Count(v1::Event::POOL_START_FAILED), 1);  // said once
}

TEST_F(SupervisorStartTest, WhenOneCanImportAgainAllOthersFollowAtOnce) {
  factory.plan = [](const WorkerStart&) { return Plan{.start_error = "ImportError", .configuration = true}; };
  ASSERT_TRUE(Begin(StateOf({PoolOf("web", 4)})).ok());
  timers.Advance(100 * kSecond);
  factory.plan = [](const WorkerStart&) { return Plan(); };
  const int64_t asked_ns = timers.NowNs();
  while (Web().status().workers_ready() < 1) timers.Advance(1 * kMs);
  EXPECT_LE(timers.NowNs() - asked_ns, 67 * kSecond);
  timers.Advance(5 * kMs);
  EXPECT_EQ(Web().status().state(), v1::PoolStatus::READY);
  EXPECT_EQ(Web().status().message(), "");
}

TEST_F(SupervisorStartTest, WhenNoProcessCanBeMadeItIsTriedAgain) {
  factory.start_status = absl::ResourceExhaustedError("too many processes");
  ASSERT_TRUE(Begin(StateOf({PoolOf("web", 2)})).ok());
  timers.Advance(1 * kMs);
  EXPECT_EQ(Web().status().state(), v1::PoolStatus::START_FAILED);
  EXPECT_EQ(Web().status().message(), "too many processes");
  factory.start_status = absl::OkStatus();
  timers.Advance(200 * kMs);
  EXPECT_EQ(Web().status().state(), v1::PoolStatus::READY);
}

TEST_F(SupervisorStartTest, OneThatDrainsByItselfIsReplacedWhileItsRequestsFinish) {
  factory.plan = [](const WorkerStart&) { return Plan{.drain_takes_ns = 5 * kSecond}; };
  BeginReady(1);
  Worker(1)->Unfit("a request did not heed its timeout", /*draining=*/true);
  timers.Advance(10 * kMs);
  EXPECT_EQ(Workers(), "1:DRAINING 2:READY");
  timers.Advance(5 * kSecond);
  EXPECT_EQ(Workers(), "2:READY");
  EXPECT_EQ(Web().status().restarts(), 0);
  EXPECT_EQ(supervisor->GetWorker("pools/web/workers/1")->end_reason(), "exit status 3");
}

TEST_F(SupervisorStartTest, OneThatIsToBeRecycledServesUntilItsSuccessorIsReady) {
  factory.plan = [](const WorkerStart&) { return Plan{.ready_after_ns = 1 * kSecond}; };
  ASSERT_TRUE(Begin(StateOf({PoolOf("web", 2)})).ok());
  timers.Advance(2 * kSecond);
  Worker(1)->Unfit("it has served 1000 requests", /*draining=*/false);
  timers.Advance(999 * kMs);
  EXPECT_EQ(Workers(), "1:READY 2:READY 3:STARTING");
  timers.Advance(1 * kMs);
  EXPECT_EQ(Workers(), "1:DRAINING 2:READY 3:READY");
  timers.Advance(1 * kSecond);
  EXPECT_EQ(supervisor->GetWorker("pools/web/workers/1")->end_reason(), "recycled: it has served 1000 requests");
  EXPECT_EQ(Web().status().restarts(), 0);
}

TEST_F(SupervisorStartTest, AWorkerToBeRecycledStaysWhileNoSuccessorCanBeStarted) {
  BeginReady(1);
  factory.plan = [](const WorkerStart&) { return Plan{.start_error = "SyntaxError", .configuration = true}; };
  Worker(1)->Unfit("it is large", /*draining=*/false);
  timers.Advance(10 * kSecond);
  EXPECT_EQ(Workers(), "1:READY");
  EXPECT_LE(factory.started, 12);
  factory.plan = [](const WorkerStart&) { return Plan(); };
  timers.Advance(60 * kSecond);
  EXPECT_EQ(Web().status().state(), v1::PoolStatus::READY);
  EXPECT_EQ(Worker(1), nullptr);
}

TEST_F(SupervisorStartTest, TenThatHaveEndedAreKept) {
  BeginReady(1);
  for (int number = 1; number <= 15; ++number) {
    Worker(number)->Die(SIGKILL);
    timers.Advance(40 * kSecond);
  }
  EXPECT_EQ(supervisor->ListWorkers("pools/web", true)->size(), 11u);
  EXPECT_EQ(Workers(), "16:READY");
  EXPECT_TRUE(absl::IsNotFound(supervisor->GetWorker("pools/web/workers/5").status()));
  EXPECT_TRUE(supervisor->GetWorker("pools/web/workers/6").ok());
}

TEST_F(SupervisorStartTest, StopDrainsAllAndSaysWhenNothingIsLeft) {
  factory.plan = [](const WorkerStart&) { return Plan{.drain_takes_ns = 3 * kSecond}; };
  BeginReady(2);
  supervisor->Stop();
  EXPECT_EQ(Workers(), "1:DRAINING 2:DRAINING");
  EXPECT_TRUE(supervisor->GetServer().draining());
  EXPECT_TRUE(sockets.bound.empty());
  timers.Advance(2 * kSecond);
  EXPECT_EQ(stopped, 0);
  timers.Advance(2 * kSecond);
  EXPECT_EQ(stopped, 1);
  EXPECT_EQ(factory.started, 2);
}

TEST_F(SupervisorStartTest, AWorkerThatDoesNotEndIsKilled) {
  factory.plan = [](const WorkerStart&) { return Plan{.drain_takes_ns = kNeverNs}; };
  BeginReady(1, "timeouts { drain { seconds: 3 } request_grace { seconds: 2 } }");
  supervisor->Stop();
  timers.Advance(9 * kSecond);
  EXPECT_EQ(stopped, 0);
  timers.Advance(2 * kSecond);
  EXPECT_EQ(stopped, 1);
}

}  // namespace
}  // namespace greenring::control
