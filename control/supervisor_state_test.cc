// What is asked of the server as a whole: names and errors, what is kept, configuration files, statistics.
#include <signal.h>

#include <optional>
#include <string>
#include <vector>

#include "control/config/field_violations.h"
#include "control/supervisor_fixture.h"

namespace greenring::control {
namespace {

class SupervisorStateTest : public SupervisorFixture {
 protected:
  absl::StatusOr<v1::Operation> Create(const std::string& id, const std::string& address, bool validate_only = false) {
    v1::CreatePoolRequest request;
    request.set_pool_id(id);
    request.mutable_pool()->mutable_application()->set_target("shop:app");
    request.mutable_pool()->add_listeners()->set_address(address);
    request.set_validate_only(validate_only);
    return supervisor->CreatePool(request, kCaller);
  }

  std::vector<std::string> Kept() const {
    std::vector<std::string> names;
    for (const v1::Pool& pool : saved.back().pools()) names.push_back(pool.name());
    return names;
  }
};

TEST_F(SupervisorStateTest, APoolIsCreatedAndKept) {
  BeginReady(1);
  const auto operation = Create("shop", "127.0.0.1:9000");
  timers.Advance(10 * kMs);
  EXPECT_TRUE(Now(operation).done());
  EXPECT_FALSE(Now(operation).has_error());
  EXPECT_EQ(supervisor->ListPools().size(), 2u);
  EXPECT_EQ(Kept(), std::vector<std::string>{"pools/shop"});  // "web" is the configuration's
  EXPECT_TRUE(absl::IsAlreadyExists(Create("shop", "127.0.0.1:9001").status()));
}

TEST_F(SupervisorStateTest, ACreatedPoolThatCannotStartFailsItsOperationAndStays) {
  BeginReady(1);
  factory.plan = [](const WorkerStart&) {
    return FakeWorkerFactory::Plan{.start_error = "ImportError: no shop", .configuration = true};
  };
  const auto operation = Create("shop", "127.0.0.1:9000");
  timers.Advance(10 * kMs);
  EXPECT_NE(Now(operation).error().message().find("ImportError: no shop"), std::string::npos);
  EXPECT_EQ(supervisor->GetPool("pools/shop")->status().state(), v1::PoolStatus::START_FAILED);
}

TEST_F(SupervisorStateTest, WhatIsWrongIsSaidByField) {
  BeginReady(1);
  EXPECT_EQ(FieldViolationsOf(Create("shop", "127.0.0.1:8000").status())[0].field, "pool.routes");
  EXPECT_EQ(FieldViolationsOf(Update("workers: 5000").status())[0].field, "pool.workers");
  EXPECT_EQ(FieldViolationsOf(Create("", "127.0.0.1:9000").status())[0].field, "pool_id");
  EXPECT_EQ(supervisor->ListPools().size(), 1u);
}

TEST_F(SupervisorStateTest, ValidateOnlyChangesNothing) {
  BeginReady(1);
  EXPECT_TRUE(Create("shop", "127.0.0.1:9000", true)->done());
  v1::UpdatePoolRequest request;
  request.mutable_pool()->set_name("pools/web");
  request.mutable_pool()->set_workers(3);
  request.set_validate_only(true);
  EXPECT_TRUE(supervisor->UpdatePool(request, kCaller)->done());
  EXPECT_EQ(supervisor->ListPools().size(), 1u);
  EXPECT_EQ(Web().workers(), 1);
  EXPECT_TRUE(supervisor->ListOperations().empty());
  EXPECT_TRUE(saved.empty());
}

TEST_F(SupervisorStateTest, AStaleEtagIsRefused) {
  BeginReady(1);
  v1::UpdatePoolRequest request;
  *request.mutable_pool() = Web();
  request.mutable_pool()->clear_status();
  request.mutable_pool()->set_workers(2);
  request.mutable_update_mask()->add_paths("workers");
  EXPECT_TRUE(supervisor->UpdatePool(request, kCaller).ok());
  EXPECT_TRUE(absl::IsAborted(supervisor->UpdatePool(request, kCaller).status()));
  v1::DeletePoolRequest deletion;
  deletion.set_name("pools/web");
  deletion.set_etag(request.pool().etag());
  EXPECT_TRUE(absl::IsAborted(supervisor->DeletePool(deletion, kCaller).status()));
}

TEST_F(SupervisorStateTest, AChangeThatCannotBeKeptIsRefused) {
  BeginReady(1);
  save_status = absl::ResourceExhaustedError("no space left on device");
  EXPECT_NE(Update("workers: 3").status().message().find("no space left"), std::string::npos);
  EXPECT_EQ(Web().workers(), 1);
  EXPECT_FALSE(Create("shop", "127.0.0.1:9000").ok());
  EXPECT_EQ(supervisor->ListPools().size(), 1u);
  save_status = absl::OkStatus();
  EXPECT_TRUE(Create("shop", "127.0.0.1:9000").ok());
  EXPECT_EQ(Kept(), std::vector<std::string>{"pools/shop"});
}

TEST_F(SupervisorStateTest, ADeletedPoolIsRememberedForTheFileThatStillHasIt) {
  BeginReady(1);
  v1::DeletePoolRequest request;
  request.set_name("pools/web");
  EXPECT_TRUE(supervisor->DeletePool(request, kCaller).ok());
  v1::Configuration file;
  *file.add_pools() = PoolOf("web", 1);
  const DesiredState next = CombineWithFile(file.pools(), saved.back());
  EXPECT_TRUE(next.pools.empty());
  EXPECT_EQ(next.warnings.size(), 1u);
  EXPECT_EQ(next.deleted.size(), 1u);
  EXPECT_TRUE(CombineWithFile({}, saved.back()).deleted.empty());  // the file has let it go, too
}

TEST_F(SupervisorStateTest, WhatWasChangedOverTheApiWinsOverTheFile) {
  BeginReady(2);
  Update("workers: 3").IgnoreError();
  v1::Configuration file;
  *file.add_pools() = PoolOf("web", 5);
  *file.add_pools() = PoolOf("new", 1, "listeners { address: ':9000' }");
  const DesiredState next = CombineWithFile(file.pools(), saved.back());
  EXPECT_EQ(next.pools.at("pools/web").workers(), 3);
  EXPECT_EQ(next.pools.at("pools/web").generation(), 2);
  EXPECT_TRUE(next.pools.contains("pools/new"));
  ASSERT_EQ(next.warnings.size(), 1u);
  EXPECT_EQ(next.warnings[0], "pools/web was changed over the API, and differs from the configuration in: workers");
}

TEST_F(SupervisorStateTest, AFileThatIsReadAgainIsFollowed) {
  const v1::Pool untouched = PoolOf("other", 1, "listeners { address: ':9001' }");
  const v1::Pool goes = PoolOf("goes", 1, "listeners { address: ':9002' }");
  ASSERT_TRUE(Begin(StateOf({PoolOf("web", 1), untouched, goes})).ok());
  timers.Advance(10 * kMs);
  Update("workers: 2").IgnoreError();
  timers.Advance(10 * kMs);

  v1::Configuration file;
  *file.add_pools() = PoolOf("web", 9);                                      // the API's word holds
  *file.add_pools() = PoolOf("other", 2, "listeners { address: ':9001' }");  // a LIVE change
  *file.add_pools() = PoolOf("comes", 1, "listeners { address: ':9003' }");
  const int started = factory.started;
  supervisor->Reload(file, kCaller);
  timers.Advance(100 * kMs);
  EXPECT_EQ(Web().workers(), 2);
  EXPECT_EQ(supervisor->GetPool("pools/other")->workers(), 2);
  EXPECT_TRUE(supervisor->GetPool("pools/comes").ok());
  EXPECT_FALSE(supervisor->GetPool("pools/goes").ok());
  EXPECT_TRUE(supervisor->AllReady());
  EXPECT_GE(factory.started, started + 5);  // 2 of web and 2 of other have new code, and comes
  EXPECT_EQ(Kept(), std::vector<std::string>{"pools/web"});
}

TEST_F(SupervisorStateTest, RequestsOfAllWorkersAreListedOldestFirst) {
  factory.plan = [](const WorkerStart& start) {
    FakeWorkerFactory::Plan plan;
    for (int i = 0; i < 2; ++i) {
      v1::Request& request = plan.requests.emplace_back();
      request.set_name(std::to_string(i));
      request.mutable_age()->set_seconds(10 * i + start.start.slot());
    }
    if (start.start.slot() == 3) plan.answers_after_ns = kNeverNs;
    return plan;
  };
  BeginReady(3);
  std::optional<absl::StatusOr<ControlPlane::RequestList>> list;
  supervisor->ListRequests("pools/-/workers/-", 0, [&](auto result) { list = std::move(result); });
  timers.Advance(1999 * kMs);
  EXPECT_FALSE(list.has_value());
  timers.Advance(2 * kMs);
  ASSERT_TRUE(list.has_value() && list->ok());
  std::vector<std::string> names;
  for (const v1::Request& request : (*list)->requests) names.push_back(request.name());
  EXPECT_EQ(names, (std::vector<std::string>{"pools/web/workers/2/requests/1", "pools/web/workers/1/requests/1",
                                             "pools/web/workers/2/requests/0", "pools/web/workers/1/requests/0"}));
  EXPECT_EQ((*list)->unreachable, std::vector<std::string>{"pools/web/workers/3"});

  for (const char* parent : {"pools/shop/workers/-", "pools/web/workers/9"}) {
    supervisor->ListRequests(parent, 0, [&](auto result) { list = std::move(result); });
    EXPECT_TRUE(absl::IsNotFound(list->status())) << parent;
  }
  supervisor->ListRequests("web", 0, [&](auto result) { list = std::move(result); });
  EXPECT_TRUE(absl::IsInvalidArgument(list->status()));
}

TEST_F(SupervisorStateTest, StacksAndCancelsReachTheirWorker) {
  BeginReady(1);
  std::optional<absl::StatusOr<v1::Stack>> stack;
  supervisor->GetStack("pools/web/workers/1/requests/7", [&](auto result) { stack = std::move(result); });
  std::optional<absl::Status> cancelled;
  supervisor->CancelRequest("pools/web/workers/1/requests/7", "", kCaller, [&](auto result) { cancelled = result; });
  timers.Advance(1 * kMs);
  EXPECT_EQ((*stack)->request().name(), "pools/web/workers/1/requests/7");
  EXPECT_EQ((*stack)->python(), "the stack");
  EXPECT_TRUE(cancelled->ok());
  EXPECT_EQ(Count(v1::Event::REQUEST_CANCELLED), 1);
  for (const char* name : {"pools/web/workers/1/requests/x", "pools/web/workers/2/requests/7", "nonsense", ""}) {
    supervisor->GetStack(name, [&](auto result) { stack = std::move(result); });
    EXPECT_TRUE(absl::IsNotFound(stack->status())) << name;
  }
}

TEST_F(SupervisorStateTest, CountersDoNotFallWhenAWorkerDies) {
  BeginReady(2);
  Worker(1)->Serve(1, 100, 0, kMs);
  Worker(1)->SendReport();
  Worker(2)->Serve(1, 10, 0, kMs);
  Worker(2)->SendReport();
  Worker(1)->Die(SIGKILL);
  timers.Advance(10 * kMs);
  const v1::PoolStatistics statistics = supervisor->ListStatistics({})[0];
  EXPECT_EQ(statistics.total().requests(), 110);
  EXPECT_EQ(statistics.total().connections(), 1);  // gauges are of the living
  EXPECT_EQ(statistics.workers_size(), 2);
  EXPECT_TRUE(supervisor->ListStatistics({"pools/shop"}).empty());
}

TEST_F(SupervisorStateTest, AnObserverMayRemoveItselfAndOthersWhileItIsTold) {
  struct Leaver : ControlPlane::Observer {
    void OnEvent(const v1::Event&) override {
      ++told;
      plane->RemoveObserver(this);
      if (other != nullptr) plane->RemoveObserver(other);
    }
    void OnOperation(const v1::Operation&) override {}
    ControlPlane* plane = nullptr;
    Leaver* other = nullptr;
    int told = 0;
  };
  BeginReady(1);
  Leaver first, second;
  first.plane = second.plane = supervisor.get();
  first.other = &second;
  supervisor->AddObserver(&first);
  supervisor->AddObserver(&second);
  Worker(1)->Die(SIGKILL);
  timers.Advance(10 * kMs);
  EXPECT_EQ(first.told, 1);
  EXPECT_EQ(second.told, 0);
}

}  // namespace
}  // namespace greenring::control
