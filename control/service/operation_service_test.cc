#include <future>

#include "control/service/api_test_fixture.h"
#include "gmock/gmock.h"
#include "greenring/control/v1/operation_service.grpc.pb.h"

namespace greenring::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class OperationServiceTest : public ApiTest {
 protected:
  std::unique_ptr<v1::OperationService::Stub> stub() { return v1::OperationService::NewStub(channel()); }

  std::string BeginReload() {
    return OnReactor([this] { return plane_.ReloadPool("pools/web", {"a test"})->name(); });
  }
  void Step() {
    OnReactor([this] { plane_.StepOperations(); });
  }

  grpc::Status Wait(const std::string& name, int timeout_s, v1::Operation* operation) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kDeadline);
    v1::WaitOperationRequest request;
    request.set_name(name);
    if (timeout_s >= 0) request.mutable_timeout()->set_seconds(timeout_s);
    return stub()->WaitOperation(&context, request, operation);
  }
};

TEST_F(OperationServiceTest, WaitReturnsWhenTheOperationIsDone) {
  const std::string name = BeginReload();
  v1::Operation operation;
  std::future<grpc::Status> wait = std::async(std::launch::async, [&] { return Wait(name, -1, &operation); });
  for (int i = 0; i < 2; ++i) Step();
  EXPECT_EQ(wait.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout) << "it is not done yet";
  Step();
  ASSERT_TRUE(wait.get().ok());
  EXPECT_TRUE(operation.done());
  EXPECT_EQ(operation.workers_done(), 2);
  EXPECT_TRUE(Wait(name, -1, &operation).ok()) << "of one that is done already";
}

TEST_F(OperationServiceTest, WaitReturnsTheOperationAsItIsWhenTheTimeIsUp) {
  const std::string name = BeginReload();
  v1::Operation operation;
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_TRUE(Wait(name, 1, &operation).ok());
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
  EXPECT_FALSE(operation.done());
  EXPECT_EQ(operation.name(), name);
}

TEST_F(OperationServiceTest, WaitsThatTheirClientsHaveGivenUpAreForgotten) {
  const std::string name = BeginReload();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
  v1::WaitOperationRequest request;
  request.set_name(name);
  v1::Operation operation;
  EXPECT_EQ(stub()->WaitOperation(&context, request, &operation).error_code(), grpc::DEADLINE_EXCEEDED);
  for (int i = 0; i < 3; ++i) Step();  // nobody is there to be answered
}

TEST_F(OperationServiceTest, AThousandWaitsNeedNoThousandThreads) {
  const std::string name = BeginReload();
  const std::unique_ptr<v1::OperationService::Stub> stub = this->stub();
  struct Call {
    grpc::ClientContext context;
    v1::WaitOperationRequest request;
    v1::Operation operation;
  };
  std::vector<Call> calls(1000);
  std::atomic<int> answered = 0;
  std::promise<void> all;
  for (Call& call : calls) {
    call.request.set_name(name);
    call.context.set_wait_for_ready(true);
    stub->async()->WaitOperation(&call.context, &call.request, &call.operation, [&](const grpc::Status& status) {
      EXPECT_TRUE(status.ok()) << status.error_message();
      if (++answered == 1000) all.set_value();
    });
  }
  for (int i = 0; i < 3; ++i) Step();
  EXPECT_EQ(all.get_future().wait_for(kDeadline), std::future_status::ready);
  EXPECT_TRUE(calls.back().operation.done());
}

TEST_F(OperationServiceTest, AWatchSeesEveryStepAndEndsWithTheOperation) {
  const std::string name = BeginReload();
  grpc::ClientContext context;
  v1::GetOperationRequest request;
  request.set_name(name);
  const auto reader = stub()->WatchOperation(&context, request);
  v1::Operation operation;
  std::vector<int> workers_done;
  ASSERT_TRUE(reader->Read(&operation));
  workers_done.push_back(operation.workers_done());
  for (int i = 0; i < 3; ++i) {
    Step();
    ASSERT_TRUE(reader->Read(&operation));
    workers_done.push_back(operation.workers_done());
  }
  EXPECT_THAT(workers_done, ElementsAre(0, 1, 2, 2));
  EXPECT_TRUE(operation.done());
  EXPECT_FALSE(reader->Read(&operation));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(OperationServiceTest, AWatchOfNothingIsNotFound) {
  grpc::ClientContext context;
  v1::GetOperationRequest request;
  request.set_name("operations/99");
  const auto reader = stub()->WatchOperation(&context, request);
  v1::Operation operation;
  EXPECT_FALSE(reader->Read(&operation));
  EXPECT_EQ(reader->Finish().error_code(), grpc::NOT_FOUND);
}

TEST_F(OperationServiceTest, ListsNewestFirstAndPagesGoOnWhereTheyWere) {
  for (int i = 0; i < 3; ++i) BeginReload();
  const auto list = [this](int size, const std::string& token, v1::ListOperationsResponse* response) {
    grpc::ClientContext context;
    v1::ListOperationsRequest request;
    request.set_page_size(size);
    request.set_page_token(token);
    EXPECT_TRUE(stub()->ListOperations(&context, request, response).ok());
  };
  v1::ListOperationsResponse first;
  list(1, "", &first);
  ASSERT_EQ(first.operations_size(), 1);
  EXPECT_EQ(first.operations(0).name(), "operations/3");
  BeginReload();  // before what was listed
  v1::ListOperationsResponse second;
  list(5, first.next_page_token(), &second);
  ASSERT_EQ(second.operations_size(), 2);
  EXPECT_EQ(second.operations(0).name(), "operations/2");
  EXPECT_EQ(second.operations(1).name(), "operations/1");
  EXPECT_EQ(second.next_page_token(), "");
}

TEST_F(OperationServiceTest, ACancelIsLoggedAndEndsTheOperation) {
  const std::string name = BeginReload();
  grpc::ClientContext context;
  v1::CancelOperationRequest request;
  request.set_name(name);
  v1::Operation operation;
  ASSERT_TRUE(stub()->CancelOperation(&context, request, &operation).ok());
  EXPECT_EQ(operation.error().code(), grpc::CANCELLED);
  EXPECT_THAT(LogLines(), ElementsAre(HasSubstr("CancelOperation operations/1: OK")));
  grpc::ClientContext again;
  EXPECT_EQ(stub()->CancelOperation(&again, request, &operation).error_code(), grpc::FAILED_PRECONDITION);
}

TEST_F(OperationServiceTest, ShutdownEndsWaitsAndWatchesWithUnavailable) {
  const std::string name = BeginReload();
  v1::Operation operation;
  std::future<grpc::Status> wait = std::async(std::launch::async, [&] { return Wait(name, -1, &operation); });
  grpc::ClientContext context;
  v1::GetOperationRequest request;
  request.set_name(name);
  const auto reader = stub()->WatchOperation(&context, request);
  v1::Operation seen;
  ASSERT_TRUE(reader->Read(&seen));
  EXPECT_EQ(wait.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  Shutdown();
  EXPECT_EQ(wait.get().error_code(), grpc::UNAVAILABLE);
  EXPECT_FALSE(reader->Read(&seen));
  EXPECT_EQ(reader->Finish().error_code(), grpc::UNAVAILABLE);
}

}  // namespace
}  // namespace greenring::control
