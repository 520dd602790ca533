#include "control/service/api_test_fixture.h"
#include "gmock/gmock.h"
#include "greenring/control/v1/pool_service.grpc.pb.h"

namespace greenring::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class PoolServiceTest : public ApiTest {
 protected:
  std::unique_ptr<v1::PoolService::Stub> stub() { return v1::PoolService::NewStub(channel()); }

  grpc::Status Update(const v1::UpdatePoolRequest& request, v1::Operation* operation) {
    grpc::ClientContext context;
    return stub()->UpdatePool(&context, request, operation);
  }

  v1::ListPoolsResponse List(int page_size, const std::string& page_token) {
    grpc::ClientContext context;
    v1::ListPoolsRequest request;
    request.set_page_size(page_size);
    request.set_page_token(page_token);
    v1::ListPoolsResponse response;
    const grpc::Status status = stub()->ListPools(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
};

TEST_F(PoolServiceTest, ListsThePoolsByName) {
  const v1::ListPoolsResponse response = List(0, "");
  ASSERT_EQ(response.pools_size(), 2);
  EXPECT_EQ(response.pools(0).name(), "pools/api");
  EXPECT_EQ(response.pools(1).name(), "pools/web");
  EXPECT_EQ(response.next_page_token(), "");
}

TEST_F(PoolServiceTest, APoolThatComesOrGoesBetweenTwoPagesHidesNoOtherAndRepeatsNone) {
  const v1::ListPoolsResponse first = List(1, "");
  ASSERT_EQ(first.pools_size(), 1);
  EXPECT_EQ(first.pools(0).name(), "pools/api");
  OnReactor([this] {
    v1::Pool earlier;
    earlier.set_name("pools/a");
    plane_.AddPool(earlier);
    v1::Pool later;
    later.set_name("pools/b");
    plane_.AddPool(later);
  });
  const v1::ListPoolsResponse second = List(10, first.next_page_token());
  ASSERT_EQ(second.pools_size(), 2);
  EXPECT_EQ(second.pools(0).name(), "pools/b");
  EXPECT_EQ(second.pools(1).name(), "pools/web");
}

TEST_F(PoolServiceTest, RefusesATokenOfAnotherListAndANegativePageSize) {
  for (const std::string token : {"nonsense", "!!", "MQ"}) {
    grpc::ClientContext context;
    v1::ListPoolsRequest request;
    request.set_page_token(token);
    v1::ListPoolsResponse response;
    const grpc::Status status = stub()->ListPools(&context, request, &response);
    EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
    EXPECT_THAT(ViolatedFields(status), ElementsAre("page_token"));
  }
  grpc::ClientContext context;
  v1::ListPoolsRequest request;
  request.set_page_size(-1);
  v1::ListPoolsResponse response;
  EXPECT_THAT(ViolatedFields(stub()->ListPools(&context, request, &response)), ElementsAre("page_size"));
}

TEST_F(PoolServiceTest, SaysWhatANameLooksLike) {
  for (const std::string name : {"", "web", "pools/", "pools/web/", "pools/-", "pools/Web", "pools/web\n"}) {
    grpc::ClientContext context;
    v1::GetPoolRequest request;
    request.set_name(name);
    v1::Pool pool;
    const grpc::Status status = stub()->GetPool(&context, request, &pool);
    EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT) << name;
    EXPECT_THAT(status.error_message(), HasSubstr("pools/{pool}"));
    EXPECT_THAT(ViolatedFields(status), ElementsAre("name"));
  }
}

TEST_F(PoolServiceTest, APoolThatIsNotThereIsNotFound) {
  grpc::ClientContext context;
  v1::GetPoolRequest request;
  request.set_name("pools/shop");
  v1::Pool pool;
  const grpc::Status status = stub()->GetPool(&context, request, &pool);
  EXPECT_EQ(status.error_code(), grpc::NOT_FOUND);
  EXPECT_EQ(status.error_details(), "");
}

TEST_F(PoolServiceTest, ViolationsOfTheControlPlaneTravelAsDetails) {
  v1::UpdatePoolRequest request;
  request.mutable_pool()->set_name("pools/web");
  request.mutable_pool()->set_workers(2000);
  request.mutable_update_mask()->add_paths("workers");
  v1::Operation operation;
  const grpc::Status status = Update(request, &operation);
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(ViolatedFields(status), ElementsAre("pool.workers"));
}

TEST_F(PoolServiceTest, ACanaryThatMakesNoSenseIsRefused) {
  v1::UpdatePoolRequest request;
  request.mutable_pool()->set_name("pools/web");
  request.mutable_canary()->set_percent(100);
  request.mutable_canary()->mutable_duration()->set_seconds(-1);
  request.mutable_canary()->set_p99_rise_percent(std::numeric_limits<double>::quiet_NaN());
  v1::Operation operation;
  EXPECT_THAT(ViolatedFields(Update(request, &operation)),
              ElementsAre("canary.percent", "canary.duration", "canary.p99_rise_percent"));
}

TEST_F(PoolServiceTest, AChangeIsLoggedWithItsCallerItsTargetAndItsOutcome) {
  v1::UpdatePoolRequest request;
  request.mutable_pool()->set_name("pools/web");
  request.mutable_pool()->set_workers(3);
  v1::Operation operation;
  ASSERT_TRUE(Update(request, &operation).ok());
  EXPECT_FALSE(operation.done());
  EXPECT_THAT(operation.caller(), HasSubstr(absl::StrCat("uid ", geteuid(), " (")));
  EXPECT_THAT(operation.caller(), HasSubstr(absl::StrCat(", pid ", getpid())));
  request.mutable_pool()->set_etag("an old one");
  EXPECT_EQ(Update(request, &operation).error_code(), grpc::ABORTED);
  EXPECT_THAT(LogLines(), ElementsAre(absl::StrCat("greenring: api: ", operation.caller(),
                                                   ": UpdatePool pools/web: OK, ", operation.name()),
                                      HasSubstr("UpdatePool pools/web: ABORTED: pools/web has changed meanwhile")));
}

TEST_F(PoolServiceTest, EveryChangeReachesTheControlPlane) {
  const std::unique_ptr<v1::PoolService::Stub> stub = this->stub();
  v1::Operation operation;
  {
    grpc::ClientContext context;
    v1::CreatePoolRequest request;
    request.set_pool_id("shop");
    request.mutable_pool()->mutable_application()->set_target("shop:app");
    EXPECT_TRUE(stub->CreatePool(&context, request, &operation).ok());
  }
  const auto change = [&operation](auto request, auto method) {
    grpc::ClientContext context;
    request.set_name("pools/shop");
    EXPECT_TRUE(method(&context, request).ok());
    EXPECT_EQ(operation.target(), "pools/shop");
  };
  change(v1::ReloadPoolRequest(), [&](auto* c, const auto& r) { return stub->ReloadPool(c, r, &operation); });
  change(v1::DrainPoolRequest(), [&](auto* c, const auto& r) { return stub->DrainPool(c, r, &operation); });
  change(v1::ResumePoolRequest(), [&](auto* c, const auto& r) { return stub->ResumePool(c, r, &operation); });
  change(v1::DeletePoolRequest(), [&](auto* c, const auto& r) { return stub->DeletePool(c, r, &operation); });
  EXPECT_THAT(OnReactor([this] { return plane_.changes(); }),
              ElementsAre(HasSubstr("create pools/shop"), HasSubstr("reload pools/shop"), HasSubstr("drain pools/shop"),
                          HasSubstr("resume pools/shop"), HasSubstr("delete pools/shop")));
  EXPECT_EQ(LogLines().size(), 5u);
}

TEST_F(PoolServiceTest, CreateWantsAPoolWithAnIdentifierOfItsOwn) {
  v1::Operation operation;
  {
    grpc::ClientContext context;
    v1::CreatePoolRequest request;
    request.set_pool_id("Shop");
    request.mutable_pool();
    EXPECT_THAT(ViolatedFields(stub()->CreatePool(&context, request, &operation)), ElementsAre("pool_id"));
  }
  {
    grpc::ClientContext context;
    v1::CreatePoolRequest request;
    request.set_pool_id("shop");
    request.mutable_pool()->set_name("pools/other");
    EXPECT_THAT(ViolatedFields(stub()->CreatePool(&context, request, &operation)), ElementsAre("pool.name"));
  }
  grpc::ClientContext context;
  EXPECT_THAT(ViolatedFields(stub()->CreatePool(&context, v1::CreatePoolRequest(), &operation)), ElementsAre("pool"));
}

}  // namespace
}  // namespace greenring::control
