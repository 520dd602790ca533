// Pools that share an address: who is told what of it, and when.
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/config/field_violations.h"
#include "control/supervisor_fixture.h"

namespace greenring::control {
namespace {

constexpr char kRoute[] = "routes { path_prefix: '/api' }";

class SupervisorRoutesTest : public SupervisorFixture {
 protected:
  // Pools "web", without routes, and "api" on the same address, all ready.
  void BeginTwo() {
    ASSERT_TRUE(Begin(StateOf({PoolOf("web", 2), PoolOf("api", 1, kRoute)})).ok());
    timers.Advance(10 * kMs);
    ASSERT_TRUE(supervisor->AllReady());
  }

  FakeWorker* Of(const std::string& pool, int number) {
    return factory.Find(absl::StrCat("pools/", pool, "/workers/", number));
  }

  // "inbox; pools/api; >-1 /api>0": what the worker was told last.
  static std::string Told(const FakeWorker* worker) {
    const worker::v1::ToWorker::Routes& routes = worker->routes().message;
    std::string text = routes.has_inbox() ? "inbox;" : "";
    for (const std::string& pool : routes.pools()) absl::StrAppend(&text, " ", pool, ";");
    for (const auto& entry : routes.entries()) {
      absl::StrAppend(&text, " ", entry.route().host(), entry.route().path_prefix(), ">", entry.pool());
    }
    EXPECT_EQ(worker->routes().descriptors.size(), static_cast<size_t>(routes.has_inbox() + routes.pools_size()));
    return text;
  }

  absl::StatusOr<v1::Operation> Create(const std::string& id, const std::string& more) {
    v1::CreatePoolRequest request;
    request.set_pool_id(id);
    *request.mutable_pool() = PoolOf(id, 1, more);
    return supervisor->CreatePool(request, kCaller);
  }

  absl::StatusOr<v1::Operation> Delete(const std::string& id) {
    v1::DeletePoolRequest request;
    request.set_name("pools/" + id);
    return supervisor->DeletePool(request, kCaller);
  }

  static bool Has(const FakeWorker* worker, const std::string& what) {
    return std::find(worker->told().begin(), worker->told().end(), what) != worker->told().end();
  }
};

TEST_F(SupervisorRoutesTest, WorkersStartWithTheRoutesOfAllPools) {
  BeginTwo();
  EXPECT_EQ(Told(Of("web", 1)), "inbox; pools/api; /api>0 >-1");
  EXPECT_EQ(Told(Of("api", 1)), "inbox; pools/web; /api>-1 >0");
  EXPECT_TRUE(Of("web", 2)->told().empty()) << "not before the other pool was known";
  // Both workers of a pool take from the same inbox, and the other pool's sends to that.
  const auto& web = Of("web", 1)->routes().descriptors;
  EXPECT_EQ(web, Of("web", 2)->routes().descriptors);
  const auto& api = Of("api", 1)->routes().descriptors;
  ASSERT_EQ(send(api[1]->get(), "for web", 7, MSG_DONTWAIT), 7);
  char received[10];
  EXPECT_EQ(recv(api[0]->get(), received, sizeof(received), MSG_DONTWAIT), -1);
  EXPECT_EQ(recv(web[0]->get(), received, sizeof(received), MSG_DONTWAIT), 7);
}

TEST_F(SupervisorRoutesTest, PoolsThatShareNothingAreToldNothing) {
  ASSERT_TRUE(Begin(StateOf({PoolOf("web", 1), PoolOf("api", 1, "listeners { address: '127.0.0.1:8001' }")})).ok());
  timers.Advance(10 * kMs);
  EXPECT_EQ(Told(Of("web", 1)), "");
  EXPECT_EQ(Told(Of("api", 1)), "");
}

TEST_F(SupervisorRoutesTest, APoolThatIsCreatedIsKnownToOthersAtOnce) {
  BeginReady(1);
  EXPECT_EQ(Told(Worker(1)), "");
  const auto operation = Create("api", kRoute);
  EXPECT_EQ(Told(Worker(1)), "inbox; pools/api; /api>0 >-1") << "its requests wait in its inbox";
  timers.Advance(10 * kMs);
  EXPECT_TRUE(Now(operation).done());
  EXPECT_EQ(Told(Of("api", 1)), "inbox; pools/web; /api>-1 >0");
}

TEST_F(SupervisorRoutesTest, RoutesAreALiveChangeAndAreToldBeforeIt) {
  BeginTwo();
  v1::UpdatePoolRequest request;
  request.mutable_pool()->set_name("pools/api");
  request.mutable_pool()->add_routes()->set_path_prefix("/v2");
  const auto operation = supervisor->UpdatePool(request, kCaller);
  timers.Advance(10 * kMs);
  EXPECT_TRUE(Now(operation).done());
  EXPECT_EQ(Workers(), "1:READY 2:READY");
  EXPECT_EQ(Told(Of("api", 1)), "inbox; pools/web; /v2>-1 >0");
  EXPECT_EQ(Told(Of("web", 2)), "inbox; pools/api; /v2>0 >-1");
  EXPECT_EQ(Of("api", 1)->told(), (std::vector<std::string>{"routes", "apply"}));
  EXPECT_EQ(Of("web", 1)->told(), std::vector<std::string>{"routes"});
}

TEST_F(SupervisorRoutesTest, APoolThatSharesNothingMayHaveRoutes) {
  BeginReady(1);
  const auto operation = Update(kRoute);
  timers.Advance(10 * kMs);
  EXPECT_TRUE(Now(operation).done());
  EXPECT_EQ(Told(Worker(1)), " /api>-1");
}

TEST_F(SupervisorRoutesTest, AnyOtherChangeTellsNobodyOfRoutes) {
  BeginTwo();
  Update("async_cores: 9").IgnoreError();
  supervisor->ReloadPool("pools/api", kCaller).IgnoreError();
  timers.Advance(10 * kMs);
  EXPECT_FALSE(Has(Of("web", 1), "routes"));
  EXPECT_EQ(Told(Of("api", 2)), "inbox; pools/web; /api>-1 >0") << "a new worker starts with them";
  EXPECT_FALSE(Has(Of("api", 2), "routes"));
}

TEST_F(SupervisorRoutesTest, AWorkerThatStartsIsToldWhenItIsReady) {
  BeginReady(1);
  factory.plan = [](const WorkerStart&) { return FakeWorkerFactory::Plan{.ready_after_ns = 1 * kSecond}; };
  Update("workers: 2").IgnoreError();
  timers.Advance(10 * kMs);
  Create("api", kRoute).IgnoreError();
  EXPECT_TRUE(Worker(2)->told().empty());
  timers.Advance(2 * kSecond);
  EXPECT_EQ(Worker(2)->told(), std::vector<std::string>{"routes"});
  EXPECT_EQ(Told(Worker(2)), "inbox; pools/api; /api>0 >-1");
}

TEST_F(SupervisorRoutesTest, ARolledBackChangeRollsRoutesBackToo) {
  BeginTwo();
  factory.plan = [](const WorkerStart&) { return FakeWorkerFactory::Plan{.start_error = "SyntaxError"}; };
  v1::UpdatePoolRequest request;
  request.mutable_pool()->set_name("pools/api");
  request.mutable_pool()->mutable_application()->set_target("shop:new");
  request.mutable_pool()->add_routes()->set_path_prefix("/v2");
  const auto operation = supervisor->UpdatePool(request, kCaller);
  EXPECT_EQ(Told(Of("web", 1)), "inbox; pools/api; /v2>0 >-1");
  timers.Advance(10 * kMs);
  EXPECT_TRUE(Now(operation).has_error());
  EXPECT_EQ(Told(Of("web", 1)), "inbox; pools/api; /api>0 >-1");
  EXPECT_EQ(Told(Of("api", 1)), "inbox; pools/web; /api>-1 >0");
}

TEST_F(SupervisorRoutesTest, ADrainedPoolKeepsItsRoutesAndItsWorkersAcceptFirstWhatWaits) {
  BeginTwo();
  FakeWorker* const worker = Of("api", 1);
  const auto operation = supervisor->DrainPool("pools/api", kCaller);
  EXPECT_EQ(sockets.readiness_of["pools/api"], Readiness::kNever);
  timers.Settle();
  timers.Advance(500'000);
  EXPECT_EQ(worker->told(), (std::vector<std::string>{"stop accepting", "drain"}));
  timers.Advance(10 * kMs);
  EXPECT_TRUE(Now(operation).done());
  EXPECT_EQ(Told(Of("web", 1)), "inbox; pools/api; /api>0 >-1") << "they wait";
  EXPECT_FALSE(Has(Of("web", 1), "routes"));
  EXPECT_EQ(sockets.readiness_of["pools/web"], Readiness::kNow);
  supervisor->ResumePool("pools/api", kCaller).IgnoreError();
  timers.Advance(10 * kMs);
  EXPECT_EQ(sockets.readiness_of["pools/api"], Readiness::kNow);
  EXPECT_EQ(Told(Of("api", 2)), "inbox; pools/web; /api>-1 >0");
}

TEST_F(SupervisorRoutesTest, ADeletedPoolLosesItsRoutesThenItsWorkersLeaveThenItsSocketsGo) {
  BeginTwo();
  FakeWorker* const worker = Of("api", 1);
  const std::weak_ptr<const UniqueFd> inbox = worker->routes().descriptors[0];
  const auto operation = Delete("api");
  EXPECT_EQ(Told(Of("web", 1)), "inbox; >-1") << "the deleted pool's workers still hand over to it";
  EXPECT_EQ(Told(worker), "inbox; pools/web; >0");
  EXPECT_TRUE(sockets.bound.contains("pools/api")) << "what waits there may be the other pool's";
  EXPECT_EQ(sockets.readiness_of["pools/api"], Readiness::kNever);
  timers.Advance(500'000);
  EXPECT_EQ(worker->told(), (std::vector<std::string>{"routes", "stop accepting", "drain"}));
  EXPECT_FALSE(sockets.bound.contains("pools/api"));
  EXPECT_EQ(Told(worker), "inbox; pools/web; >0") << "what it has accepted it still knows how to route";
  timers.Advance(10 * kMs);
  EXPECT_TRUE(Now(operation).done());
  EXPECT_EQ(Told(Of("web", 1)), "");
  EXPECT_TRUE(inbox.expired()) << "what waits in an inbox goes with the pool";
}

TEST_F(SupervisorRoutesTest, ADeletedPoolThatSharesNothingIsRefusedAtOnce) {
  BeginReady(1);
  Delete("web").IgnoreError();
  EXPECT_TRUE(sockets.bound.empty());
}

TEST_F(SupervisorRoutesTest, RoutesThatCollideAreRefusedByField) {
  BeginTwo();
  EXPECT_EQ(FieldViolationsOf(Create("more", "").status())[0].field, "pool.routes");
  EXPECT_EQ(FieldViolationsOf(Create("more", "routes { host: 'h' } routes { path_prefix: '/api' }").status())[0].field,
            "pool.routes[1]");
  EXPECT_EQ(FieldViolationsOf(
                Create("more", "listeners { address: '127.0.0.1:8000' backlog: 9 } routes { host: 'h' }").status())[0]
                .field,
            "pool.listeners[0].backlog");
  EXPECT_EQ(FieldViolationsOf(Update(kRoute).status())[0].field, "pool.routes[0]");
  EXPECT_FALSE(Has(Of("web", 1), "routes"));
}

TEST_F(SupervisorRoutesTest, WhatCanBeRolledBackKeepsItsPlace) {
  BeginReady(1);
  factory.plan = [](const WorkerStart&) { return FakeWorkerFactory::Plan{.ready_after_ns = kNeverNs}; };
  ASSERT_TRUE(Update("listeners { address: '127.0.0.1:9000' }").ok());
  EXPECT_EQ(FieldViolationsOf(Create("more", "").status())[0].field, "pool.routes") << "web may go back to 8000";
  EXPECT_TRUE(Create("api", kRoute).ok());
  EXPECT_EQ(Told(Worker(1)), "inbox; pools/api; /api>0 >-1") << "while it listens on both";
}

TEST_F(SupervisorRoutesTest, AFileMayMoveARouteFromOnePoolToAnother) {
  const v1::Pool web = PoolOf("web", 1);
  const v1::Pool a = PoolOf("a", 1, kRoute), b = PoolOf("b", 1, "routes { path_prefix: '/b' }");
  ASSERT_TRUE(Begin(StateOf({web, a, b})).ok());
  timers.Advance(10 * kMs);
  v1::Configuration file;
  *file.add_pools() = web;
  *file.add_pools() = PoolOf("a", 1, "routes { path_prefix: '/b' }");
  *file.add_pools() = PoolOf("b", 1, "routes { path_prefix: '/c' }");
  supervisor->Reload(file, kCaller);
  timers.Advance(10 * kMs);
  EXPECT_EQ(supervisor->GetPool("pools/a")->routes(0).path_prefix(), "/b");
  EXPECT_EQ(supervisor->GetPool("pools/b")->routes(0).path_prefix(), "/c");
  for (const v1::Event& event : events) EXPECT_NE(event.severity(), v1::Event::WARNING) << event.ShortDebugString();
}

TEST_F(SupervisorRoutesTest, APoolWhoseApplicationCannotBeImportedAttractsNoConnections) {
  factory.plan = [](const WorkerStart& start) {
    const bool fails = start.start.worker().find("api") != std::string::npos;
    return FakeWorkerFactory::Plan{.start_error = fails ? "ImportError" : "", .configuration = fails};
  };
  ASSERT_TRUE(Begin(StateOf({PoolOf("web", 1), PoolOf("api", 1, kRoute)})).ok());
  EXPECT_EQ(sockets.readiness_of["pools/api"], Readiness::kSoon);
  timers.Advance(10 * kMs);
  EXPECT_EQ(sockets.readiness_of["pools/api"], Readiness::kNever);
  Of("web", 1)->Die(SIGKILL);
  timers.Settle();
  EXPECT_EQ(sockets.readiness_of["pools/web"], Readiness::kSoon);
}

TEST_F(SupervisorRoutesTest, AServerThatStopsDrainsEveryWorkerWithTheRoutesThatItHas) {
  BeginTwo();
  FakeWorker *const web = Of("web", 1), *const api = Of("api", 1);
  supervisor->Stop();
  EXPECT_EQ(web->told(), std::vector<std::string>{"drain"});
  EXPECT_EQ(api->told(), std::vector<std::string>{"drain"});
  timers.Advance(10 * kMs);
  EXPECT_EQ(stopped, 1);
}

}  // namespace
}  // namespace greenring::control
