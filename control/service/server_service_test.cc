#include "control/service/api_test_fixture.h"
#include "gmock/gmock.h"
#include "greenring/control/v1/server_service.grpc.pb.h"

namespace greenring::control {
namespace {

using testing::ElementsAre;

class ServerServiceTest : public ApiTest {
 protected:
  // One call of Watch and what it has read.
  struct Watch {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<v1::WatchResponse>> reader;
    v1::WatchResponse response;

    bool Read() { return reader->Read(&response); }
  };

  std::unique_ptr<v1::ServerService::Stub> stub() { return v1::ServerService::NewStub(channel()); }

  std::unique_ptr<Watch> Begin(const v1::WatchRequest& request) {
    auto watch = std::make_unique<Watch>();
    watch->context.set_deadline(std::chrono::system_clock::now() + kDeadline);
    const size_t before = OnReactor([this] { return plane_.observer_count(); });
    watch->reader = stub()->Watch(&watch->context, request);
    Eventually([this, before] { return plane_.observer_count() > before; });
    return watch;
  }

  grpc::Status Refusal(const v1::WatchRequest& request) {
    grpc::ClientContext context;
    const auto reader = stub()->Watch(&context, request);
    v1::WatchResponse response;
    EXPECT_FALSE(reader->Read(&response));
    return reader->Finish();
  }

  v1::ListEventsResponse List(const v1::ListEventsRequest& request) {
    grpc::ClientContext context;
    v1::ListEventsResponse response;
    const grpc::Status status = stub()->ListEvents(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  void Emit(const std::string& resource) {
    OnReactor([this, &resource] {
      v1::Event event;
      event.set_resource(resource);
      plane_.Emit(event);
    });
  }
};

TEST_F(ServerServiceTest, TellsWhatTheServerIs) {
  grpc::ClientContext context;
  v1::Server server;
  ASSERT_TRUE(stub()->GetServer(&context, v1::GetServerRequest(), &server).ok());
  EXPECT_EQ(server.pid(), 4700);
}

TEST_F(ServerServiceTest, AWatcherSeesTheEventsFromNowOn) {
  OnReactor([this] { plane_.EmitEvents(3); });
  const auto watch = Begin(v1::WatchRequest());
  Emit("pools/web");
  ASSERT_TRUE(watch->Read());
  EXPECT_EQ(watch->response.event().id(), 4);
}

TEST_F(ServerServiceTest, AWatcherMayAskForEarlierEventsFirst) {
  OnReactor([this] { plane_.EmitEvents(3); });
  v1::WatchRequest request;
  request.set_after_event(1);
  const auto some = Begin(request);
  request.set_after_event(-1);
  const auto all = Begin(request);
  for (const int id : {2, 3}) {
    ASSERT_TRUE(some->Read());
    EXPECT_EQ(some->response.event().id(), id);
  }
  ASSERT_TRUE(all->Read());
  EXPECT_EQ(all->response.event().id(), 1);
}

TEST_F(ServerServiceTest, AnEventThatHasNotHappenedIsOutOfRange) {
  v1::WatchRequest request;
  request.set_after_event(7);
  EXPECT_EQ(Refusal(request).error_code(), grpc::OUT_OF_RANGE);
}

TEST_F(ServerServiceTest, KnownEventsAreListedInPages) {
  OnReactor([this] { plane_.EmitEvents(7); });
  v1::ListEventsRequest request;
  request.set_page_size(3);
  request.set_after_event(2);
  std::vector<int64_t> ids;
  do {
    const v1::ListEventsResponse page = List(request);
    ASSERT_LE(page.events_size(), 3);
    for (const v1::Event& event : page.events()) ids.push_back(event.id());
    request.set_page_token(page.next_page_token());
    Emit("pools/web");  // what comes meanwhile comes behind
    ASSERT_LT(ids.size(), 20u);
  } while (!request.page_token().empty() && ids.size() < 6);
  EXPECT_THAT(ids, ElementsAre(3, 4, 5, 6, 7, 8));
}

TEST_F(ServerServiceTest, ListedEventsAreThoseOfThePools) {
  Emit("pools/api");
  Emit("pools/web/workers/2");
  v1::ListEventsRequest request;
  request.add_pools("pools/web");
  const v1::ListEventsResponse page = List(request);
  ASSERT_EQ(page.events_size(), 1);
  EXPECT_EQ(page.events(0).resource(), "pools/web/workers/2");
  EXPECT_EQ(page.next_page_token(), "");
}

TEST_F(ServerServiceTest, AListOfEventsThatMakesNoSenseIsRefused) {
  const auto code = [this](const v1::ListEventsRequest& request) {
    grpc::ClientContext context;
    v1::ListEventsResponse response;
    return stub()->ListEvents(&context, request, &response).error_code();
  };
  v1::ListEventsRequest request;
  request.set_after_event(-1);
  EXPECT_EQ(code(request), grpc::INVALID_ARGUMENT);
  request.set_after_event(7);
  EXPECT_EQ(code(request), grpc::OUT_OF_RANGE);
  request.set_after_event(0);
  request.set_page_token("nonsense");
  EXPECT_EQ(code(request), grpc::INVALID_ARGUMENT);
  request.clear_page_token();
  request.add_pools("pools/none");
  EXPECT_EQ(code(request), grpc::NOT_FOUND);
}

TEST_F(ServerServiceTest, EventsOfOtherPoolsAreLeftOut) {
  v1::WatchRequest request;
  request.add_pools("pools/web");
  const auto watch = Begin(request);
  Emit("pools/api");
  Emit("pools/web-2");  // no part of pools/web
  Emit("pools/web/workers/2");
  OnReactor([this] { plane_.ReloadPool("pools/api", {"a test"}).IgnoreError(); });
  OnReactor([this] { plane_.ReloadPool("pools/web", {"a test"}).IgnoreError(); });
  Emit("");
  std::vector<std::string> resources;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(watch->Read());
    resources.push_back(watch->response.event().resource());
  }
  EXPECT_THAT(resources, ElementsAre("pools/web/workers/2", "operations/2", ""));
}

TEST_F(ServerServiceTest, AWatcherThatDoesNotKeepUpIsToldHowManyItHasLost) {
  const auto watch = Begin(v1::WatchRequest());
  constexpr int kEvents = 200'000;  // far more than the sockets and the queue hold
  OnReactor([this] { plane_.EmitEvents(kEvents); });
  int64_t lost = 0;
  int64_t seen = 0;
  while (seen + lost < kEvents) {
    ASSERT_TRUE(watch->Read());
    if (watch->response.what_case() == v1::WatchResponse::kEventsLost) {
      lost += watch->response.events_lost();
    } else {
      ++seen;
      ASSERT_EQ(watch->response.event().id(), seen + lost) << "what is lost is told where it is missing";
    }
  }
  EXPECT_GT(lost, 0);
  EXPECT_EQ(watch->response.event().id(), kEvents) << "the newest are kept";
}

TEST_F(ServerServiceTest, StatisticsComeAtOnceAndThenAtEveryInterval) {
  v1::WatchRequest request;
  request.add_pools("pools/web");
  request.mutable_statistics_interval()->set_nanos(100'000'000);
  const auto begin = std::chrono::steady_clock::now();
  const auto watch = Begin(request);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(watch->Read());
    EXPECT_EQ(watch->response.statistics().pool(), "pools/web");
    EXPECT_EQ(watch->response.statistics().workers_size(), 2);
  }
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(200));
}

TEST_F(ServerServiceTest, AWatcherThatHasGoneObservesNoMore) {
  const size_t before = OnReactor([this] { return plane_.observer_count(); });
  const auto watch = Begin(v1::WatchRequest());
  watch->context.TryCancel();
  Eventually([this, before] { return plane_.observer_count() == before; });
  EXPECT_EQ(watch->reader->Finish().error_code(), grpc::CANCELLED);
}

TEST_F(ServerServiceTest, RefusesAnIntervalThatIsTooShortAndPoolsThatAreNotThere) {
  v1::WatchRequest request;
  request.mutable_statistics_interval()->set_nanos(1);
  EXPECT_THAT(ViolatedFields(Refusal(request)), ElementsAre("statistics_interval"));
  request.clear_statistics_interval();
  request.set_after_event(-2);
  EXPECT_THAT(ViolatedFields(Refusal(request)), ElementsAre("after_event"));
  request.clear_after_event();
  request.add_pools("web");
  EXPECT_THAT(ViolatedFields(Refusal(request)), ElementsAre("pools[0]"));
  request.set_pools(0, "pools/wbe");
  EXPECT_EQ(Refusal(request).error_code(), grpc::NOT_FOUND);
}

TEST_F(ServerServiceTest, ShutdownEndsAWatchWithUnavailable) {
  const auto watch = Begin(v1::WatchRequest());
  Shutdown();
  EXPECT_FALSE(watch->Read());
  EXPECT_EQ(watch->reader->Finish().error_code(), grpc::UNAVAILABLE);
}

TEST_F(ServerServiceTest, ShutdownEndsAWatchWhoseClientReadsNothing) {
  const auto watch = Begin(v1::WatchRequest());
  OnReactor([this] { plane_.EmitEvents(200'000); });
  const auto begin = std::chrono::steady_clock::now();
  Shutdown();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, kDeadline);
}

TEST_F(ServerServiceTest, ListsStatisticsOfSomePoolsOrOfAll) {
  grpc::ClientContext context;
  v1::ListStatisticsRequest request;
  v1::ListStatisticsResponse response;
  ASSERT_TRUE(stub()->ListStatistics(&context, request, &response).ok());
  EXPECT_EQ(response.pools_size(), 2);
  grpc::ClientContext again;
  request.add_pools("pools/web");
  ASSERT_TRUE(stub()->ListStatistics(&again, request, &response).ok());
  EXPECT_EQ(response.pools_size(), 1);
}

}  // namespace
}  // namespace greenring::control
