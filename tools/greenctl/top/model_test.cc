#include "tools/greenctl/top/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tools/greenctl/top/screen.h"
#include "tools/greenctl/top/testing.h"

namespace greenring::greenctl {
namespace {

using ::testing::ElementsAre;

class ModelTest : public ::testing::Test {
 protected:
  ModelTest() {
    v1::ListPoolsResponse pools;
    *pools.add_pools() = TestPool("api", 1);
    *pools.add_pools() = TestPool("web", 2);
    model_.OnPools(pools);
    v1::ListRequestsResponse requests;
    *requests.add_requests() = TestRequest("web/1/5", 30);
    *requests.add_requests() = TestRequest("api/1/7", 20);
    *requests.add_requests() = TestRequest("web/10/1", 10);
    *requests.add_requests() = TestRequest("web/2/6", 1);
    requests.mutable_requests(2)->mutable_cpu_time()->set_seconds(3);
    model_.OnRequests(requests);
  }

  std::vector<std::string> RequestNames() {
    std::vector<std::string> names;
    for (const v1::Request& request : model_.Requests()) names.push_back(request.target().substr(4));
    return names;
  }

  Model model_{"unix:/socket"};
};

TEST_F(ModelTest, OrdersRequestsByAgeCpuStackAndName) {
  EXPECT_THAT(RequestNames(), ElementsAre("web/1/5", "api/1/7", "web/10/1", "web/2/6"));
  model_.OnKey('s');
  EXPECT_EQ(RequestNames()[0], "web/10/1");
  model_.OnKey('s');
  model_.OnKey('s');
  EXPECT_THAT(RequestNames(), ElementsAre("api/1/7", "web/1/5", "web/2/6", "web/10/1"));
}

TEST_F(ModelTest, WhatIsSelectedStaysSoWhenOthersGo) {
  model_.OnKey(kKeyDown);
  model_.OnKey(kKeyDown);
  const std::string selected = model_.selected(Section::kRequests);
  EXPECT_EQ(selected, "pools/web/workers/10/requests/1");
  v1::ListRequestsResponse fewer;
  *fewer.add_requests() = TestRequest("web/10/1", 11);
  *fewer.add_requests() = TestRequest("web/2/6", 2);
  model_.OnRequests(fewer);
  EXPECT_EQ(model_.selected(Section::kRequests), selected);
  fewer.mutable_requests()->DeleteSubrange(0, 1);
  model_.OnRequests(fewer);
  EXPECT_EQ(model_.selected(Section::kRequests), "pools/web/workers/2/requests/6");
}

TEST_F(ModelTest, TheSelectionStopsAtBothEnds) {
  model_.OnKey(kKeyUp);
  EXPECT_EQ(model_.selected(Section::kRequests), "pools/web/workers/1/requests/5");
  model_.OnKey(kKeyPageDown);
  EXPECT_EQ(model_.selected(Section::kRequests), "pools/web/workers/2/requests/6");
}

TEST_F(ModelTest, CancelAsksFirst) {
  EXPECT_EQ(model_.OnKey('k').kind, Model::Action::kNone);
  EXPECT_EQ(model_.cancel_question(), "pools/web/workers/1/requests/5");
  const Model::Action action = model_.OnKey('y');
  EXPECT_EQ(action.kind, Model::Action::kCancel);
  EXPECT_EQ(action.request, "pools/web/workers/1/requests/5");
  EXPECT_EQ(model_.cancel_question(), "");
}

TEST_F(ModelTest, AnyOtherAnswerThanYesCancelsNothing) {
  for (int key : {static_cast<int>('n'), static_cast<int>('q'), static_cast<int>(kKeyEnter)}) {
    model_.OnKey('k');
    EXPECT_EQ(model_.OnKey(key).kind, Model::Action::kNone);
    EXPECT_EQ(model_.cancel_question(), "");
  }
}

TEST_F(ModelTest, EnterOnARequestAsksForItsStack) {
  const Model::Action action = model_.OnKey(kKeyEnter);
  EXPECT_EQ(action.kind, Model::Action::kShowStack);
  model_.OnStack(action.request, "one\ntwo\x1b[2J\n");
  EXPECT_THAT(model_.stack().lines, ElementsAre("one", "two\\x1b[2J"));
  model_.OnKey(kKeyEscape);
  EXPECT_EQ(model_.stack().request, "");
  model_.OnStack(action.request, "too late");
  EXPECT_TRUE(model_.stack().lines.empty());
}

TEST_F(ModelTest, EnterOnAPoolShowsOnlyThatPool) {
  model_.OnKey('r');  // hides the requests: the pools have the keys
  ASSERT_EQ(model_.focus(), Section::kPools);
  model_.OnKey(kKeyDown);
  model_.OnKey(kKeyEnter);
  EXPECT_EQ(model_.pool_filter(), "pools/web");
  EXPECT_THAT(RequestNames(), ElementsAre("web/1/5", "web/10/1", "web/2/6"));
  model_.OnKey(kKeyEscape);
  EXPECT_EQ(model_.pool_filter(), "");
}

TEST_F(ModelTest, RatesAreBetweenTheLastTwoLooks) {
  model_.OnStatistics(TestStatistics("web", 0, 1000, 5));
  EXPECT_EQ(model_.Pools()[1].measured.rates.requests_per_s, 0);
  model_.OnStatistics(TestStatistics("web", 2, 1400, 7));
  EXPECT_EQ(model_.Pools()[1].measured.rates.requests_per_s, 200);
  EXPECT_EQ(model_.Pools()[1].measured.rates.cpu_percent, 20);
  EXPECT_EQ(model_.Workers()[0].measured.rates.requests_per_s, 200);
}

TEST_F(ModelTest, WorkersThatHaveEndedDisappear) {
  model_.OnStatistics(TestStatistics("web", 0, 1, 0));
  v1::PoolStatistics later = TestStatistics("web", 1, 2, 0);
  later.mutable_workers(0)->set_worker("pools/web/workers/2");
  model_.OnStatistics(later);
  ASSERT_EQ(model_.Workers().size(), 1u);
  EXPECT_EQ(model_.Workers()[0].name, "pools/web/workers/2");
}

TEST_F(ModelTest, NothingMovesWhilePaused) {
  model_.OnKey(' ');
  model_.OnRequests({});
  model_.OnPools({});
  EXPECT_EQ(model_.Requests().size(), 4u);
  EXPECT_EQ(model_.Pools().size(), 2u);
  model_.OnKey(' ');
  model_.OnRequests({});
  EXPECT_EQ(model_.Requests().size(), 0u);
}

TEST_F(ModelTest, AServerThatComesBackEndsTheProblem) {
  model_.OnLost("connection refused");
  EXPECT_EQ(model_.problem(), "connection refused");
  EXPECT_EQ(model_.Requests().size(), 4u);
  model_.OnServer({});
  EXPECT_EQ(model_.problem(), "");
}

TEST_F(ModelTest, KeysWithoutAnythingToSelectAreHarmless) {
  Model empty("unix:/socket");
  for (int key : {int{kKeyUp}, int{kKeyDown}, int{kKeyEnter}, int{'k'}, int{'t'}, int{'w'}, int{kKeyTab},
                  int{kKeyEnter}, int{'p'}, int{'r'}, int{'w'}, int{kKeyTab}, int{kKeyDown}}) {
    EXPECT_EQ(empty.OnKey(key).kind, Model::Action::kNone);
  }
  EXPECT_EQ(empty.OnKey('q').kind, Model::Action::kQuit);
}

}  // namespace
}  // namespace greenring::greenctl
