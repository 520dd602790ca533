#include <future>

#include "control/service/api_test_fixture.h"
#include "gmock/gmock.h"
#include "greenring/control/v1/request_service.grpc.pb.h"
#include "greenring/control/v1/worker_service.grpc.pb.h"

namespace greenring::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class RequestServiceTest : public ApiTest {
 protected:
  std::unique_ptr<v1::RequestService::Stub> stub() { return v1::RequestService::NewStub(channel()); }

  v1::ListRequestsResponse List(const std::string& parent, int page_size = 0, const std::string& token = "") {
    grpc::ClientContext context;
    v1::ListRequestsRequest request;
    request.set_parent(parent);
    request.set_page_size(page_size);
    request.set_page_token(token);
    v1::ListRequestsResponse response;
    const grpc::Status status = stub()->ListRequests(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  grpc::Status Stack(const std::string& name, v1::Stack* stack) {
    grpc::ClientContext context;
    v1::GetStackRequest request;
    request.set_name(name);
    return stub()->GetStack(&context, request, stack);
  }
};

TEST_F(RequestServiceTest, ListsOldestFirstOfOneWorkerOnePoolOrAll) {
  EXPECT_EQ(List("pools/web/workers/1").requests_size(), 2);
  EXPECT_EQ(List("pools/web/workers/-").requests_size(), 3);
  const v1::ListRequestsResponse all = List("pools/-/workers/-");
  ASSERT_EQ(all.requests_size(), 4);
  EXPECT_EQ(all.requests(0).name(), "pools/web/workers/1/requests/12");
  EXPECT_EQ(all.requests(1).name(), "pools/api/workers/1/requests/3");
}

TEST_F(RequestServiceTest, PagesCoverEveryRequestThatStaysOnce) {
  const v1::ListRequestsResponse first = List("pools/-/workers/-", 2);
  ASSERT_EQ(first.requests_size(), 2);
  OnReactor([this] {
    plane_.CancelRequest("pools/web/workers/1/requests/12", "gone", {"a test"}, [](const absl::Status&) {});
  });
  const v1::ListRequestsResponse second = List("pools/-/workers/-", 5, first.next_page_token());
  ASSERT_EQ(second.requests_size(), 2);
  EXPECT_EQ(second.requests(0).name(), "pools/web/workers/1/requests/19");
  EXPECT_EQ(second.requests(1).name(), "pools/web/workers/2/requests/7");
}

TEST_F(RequestServiceTest, APageStaysBelowWhatClientsReceive) {
  OnReactor([this] {
    for (int i = 0; i < 6000; ++i) {
      v1::Request request;
      request.set_name(absl::StrCat("pools/web/workers/1/requests/", 1000 + i));
      request.set_target(std::string(1000, 'x'));
      plane_.AddRequest(std::move(request));
    }
  });
  v1::ListRequestsResponse page = List("pools/-/workers/-", 10'000);
  int count = page.requests_size();
  EXPECT_LT(count, 6004);
  while (!page.next_page_token().empty()) {
    page = List("pools/-/workers/-", 10'000, page.next_page_token());
    count += page.requests_size();
  }
  EXPECT_EQ(count, 6004);
}

TEST_F(RequestServiceTest, AThousandRequestsAreListedInWellUnderASecond) {
  OnReactor([this] {
    for (int i = 0; i < 1000; ++i) {
      v1::Request request;
      request.set_name(absl::StrCat("pools/web/workers/1/requests/", 1000 + i));
      plane_.AddRequest(std::move(request));
    }
  });
  List("pools/-/workers/-", 1);  // connects
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(List("pools/-/workers/-", 1004).requests_size(), 1004);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
}

TEST_F(RequestServiceTest, OthersAreAnsweredWhileAWorkerTakesItsTime) {
  OnReactor([this] { plane_.HoldAnswers(true); });
  v1::Stack stack;
  std::future<grpc::Status> slow =
      std::async(std::launch::async, [&] { return Stack("pools/web/workers/1/requests/12", &stack); });
  Eventually([this] { return plane_.answers_held() == 1; });
  const auto workers = v1::WorkerService::NewStub(channel());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kDeadline);
  v1::ListWorkersRequest request;
  request.set_parent("pools/-");
  v1::ListWorkersResponse response;
  EXPECT_TRUE(workers->ListWorkers(&context, request, &response).ok());
  EXPECT_EQ(slow.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  OnReactor([this] { plane_.HoldAnswers(false); });
  ASSERT_TRUE(slow.get().ok());
  EXPECT_THAT(stack.python(), HasSubstr("cursor.fetchall()"));
}

TEST_F(RequestServiceTest, AnAnswerAfterTheClientHasGoneIsDropped) {
  OnReactor([this] { plane_.HoldAnswers(true); });
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(100));
  v1::GetStackRequest request;
  request.set_name("pools/web/workers/1/requests/12");
  v1::Stack stack;
  EXPECT_EQ(stub()->GetStack(&context, request, &stack).error_code(), grpc::DEADLINE_EXCEEDED);
  Eventually([this] { return plane_.answers_held() == 1; });
  OnReactor([this] { plane_.HoldAnswers(false); });
  EXPECT_TRUE(Stack("pools/web/workers/1/requests/12", &stack).ok());
}

TEST_F(RequestServiceTest, ShutdownDoesNotWaitForAWorkersAnswer) {
  OnReactor([this] { plane_.HoldAnswers(true); });
  v1::Stack stack;
  std::future<grpc::Status> slow =
      std::async(std::launch::async, [&] { return Stack("pools/web/workers/1/requests/12", &stack); });
  Eventually([this] { return plane_.answers_held() == 1; });
  Shutdown();
  EXPECT_EQ(slow.get().error_code(), grpc::UNAVAILABLE);
  OnReactor([this] { plane_.HoldAnswers(false); });
}

TEST_F(RequestServiceTest, ACancelIsLoggedWithItsReasonGoingToTheRequest) {
  grpc::ClientContext context;
  v1::CancelRequestRequest request;
  request.set_name("pools/web/workers/1/requests/12");
  v1::CancelRequestResponse response;
  ASSERT_TRUE(stub()->CancelRequest(&context, request, &response).ok());
  EXPECT_THAT(OnReactor([this] { return plane_.changes(); }), ElementsAre(HasSubstr("(cancelled by an operator)")));
  EXPECT_THAT(LogLines(), ElementsAre(HasSubstr("CancelRequest pools/web/workers/1/requests/12: OK")));
  grpc::ClientContext again;
  EXPECT_EQ(stub()->CancelRequest(&again, request, &response).error_code(), grpc::NOT_FOUND);
  EXPECT_THAT(LogLines().back(), HasSubstr("NOT_FOUND"));
}

TEST_F(RequestServiceTest, RefusesWhatIsNoParentAndNoAge) {
  for (const std::string parent : {"", "pools/web", "pools/web/workers/1/requests/12"}) {
    grpc::ClientContext context;
    v1::ListRequestsRequest request;
    request.set_parent(parent);
    v1::ListRequestsResponse response;
    EXPECT_THAT(ViolatedFields(stub()->ListRequests(&context, request, &response)), ElementsAre("parent"));
  }
  grpc::ClientContext context;
  v1::ListRequestsRequest request;
  request.set_parent("pools/-/workers/-");
  request.mutable_age_min()->set_seconds(-1);
  v1::ListRequestsResponse response;
  EXPECT_THAT(ViolatedFields(stub()->ListRequests(&context, request, &response)), ElementsAre("age_min"));
}

class WorkerServiceTest : public ApiTest {
 protected:
  std::unique_ptr<v1::WorkerService::Stub> stub() { return v1::WorkerService::NewStub(channel()); }

  v1::ListWorkersResponse List(const std::string& parent, int page_size = 0, const std::string& token = "") {
    grpc::ClientContext context;
    v1::ListWorkersRequest request;
    request.set_parent(parent);
    request.set_page_size(page_size);
    request.set_page_token(token);
    v1::ListWorkersResponse response;
    const grpc::Status status = stub()->ListWorkers(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
};

TEST_F(WorkerServiceTest, ListsThoseOfOnePoolOrOfAll) {
  EXPECT_EQ(List("pools/web").workers_size(), 2);
  EXPECT_EQ(List("pools/-").workers_size(), 4);
}

TEST_F(WorkerServiceTest, TheTenthWorkerComesAfterTheNinthOnAnyPage) {
  OnReactor([this] {
    v1::Pool many;
    many.set_name("pools/many");
    many.set_workers(12);
    plane_.AddPool(many);
  });
  std::vector<std::string> names;
  std::string token;
  do {
    const v1::ListWorkersResponse page = List("pools/many", 5, token);
    for (const v1::Worker& worker : page.workers()) names.push_back(worker.name());
    token = page.next_page_token();
  } while (!token.empty());
  ASSERT_EQ(names.size(), 12u);
  EXPECT_EQ(names[8], "pools/many/workers/9");
  EXPECT_EQ(names[9], "pools/many/workers/10");
}

TEST_F(WorkerServiceTest, ATokenIsForItsOwnParent) {
  const std::string token = List("pools/-", 1).next_page_token();
  grpc::ClientContext context;
  v1::ListWorkersRequest request;
  request.set_parent("pools/web");
  request.set_page_token(token);
  v1::ListWorkersResponse response;
  EXPECT_THAT(ViolatedFields(stub()->ListWorkers(&context, request, &response)), ElementsAre("page_token"));
}

TEST_F(WorkerServiceTest, ARestartIsAnOperationOnTheWorker) {
  grpc::ClientContext context;
  v1::RestartWorkerRequest request;
  request.set_name("pools/web/workers/2");
  v1::Operation operation;
  ASSERT_TRUE(stub()->RestartWorker(&context, request, &operation).ok());
  EXPECT_EQ(operation.target(), "pools/web/workers/2");
  EXPECT_THAT(LogLines(), ElementsAre(HasSubstr("RestartWorker pools/web/workers/2: OK, operations/1")));
  grpc::ClientContext wrong;
  request.set_name("pools/web/workers/-");
  EXPECT_THAT(ViolatedFields(stub()->RestartWorker(&wrong, request, &operation)), ElementsAre("name"));
}

}  // namespace
}  // namespace greenring::control
