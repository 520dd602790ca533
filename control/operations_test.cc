#include "control/operations.h"

#include "control/sim_timers.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

class OperationsTest : public ::testing::Test {
 protected:
  SimTimers timers;
  std::vector<v1::Event> told;
  std::vector<v1::Operation> steps;
  EventLog events{&timers, [this](const v1::Event& event) { told.push_back(event); }};
  Operations operations{&timers, &events, [this](const v1::Operation& operation) { steps.push_back(operation); }};
};

TEST_F(OperationsTest, EveryStepIsPublishedOnce) {
  const std::string name = operations.Start("reload", "pools/web", {"signal 1"}, 7).name();
  EXPECT_EQ(name, "operations/1");
  operations.Progress(name, {.stage = "starting", .workers_done = 1, .workers_total = 2});
  operations.Progress(name, {.stage = "starting", .workers_done = 1, .workers_total = 2});
  timers.Advance(5);
  operations.Finish(name, absl::OkStatus());
  ASSERT_EQ(steps.size(), 3u);
  EXPECT_EQ(steps[1].workers_done(), 1);
  EXPECT_TRUE(steps[2].done());
  EXPECT_EQ(steps[2].end_time().nanos() - steps[2].create_time().nanos(), 5);
  EXPECT_EQ(steps[2].caller(), "signal 1");
  EXPECT_EQ(steps[2].generation(), 7);
  EXPECT_EQ(told.size(), 2u);
}

TEST_F(OperationsTest, AFailureHasItsStatus) {
  const std::string name = operations.Start("update", "pools/web", {"me"}, 0).name();
  operations.Finish(name, absl::AbortedError("rolled back"));
  EXPECT_EQ(operations.Get(name)->error().code(), 10);
  EXPECT_EQ(operations.Get(name)->error().message(), "rolled back");
  EXPECT_EQ(told.back().kind(), v1::Event::OPERATION_FAILED);
}

TEST_F(OperationsTest, TheLastThousandAreKeptAndThoseUnderWay) {
  const std::string waiting = operations.Start("drain", "pools/web", {"me"}, 0).name();
  for (int i = 0; i < 1500; ++i) operations.Finish(operations.Start("reload", "pools/web", {"me"}, 0).name(), {});
  EXPECT_EQ(operations.List().size(), Operations::kOperationsMax);
  EXPECT_EQ(operations.List().front().name(), "operations/1501");
  EXPECT_TRUE(operations.Get(waiting).ok());
  EXPECT_TRUE(absl::IsNotFound(operations.Get("operations/2").status()));
}

TEST_F(OperationsTest, EventsAreKeptFromAnyPointOn) {
  for (int i = 0; i < 5000; ++i) events.Add(v1::Event::WORKER_READY, v1::Event::INFO, "pools/web/workers/1", "");
  EXPECT_EQ(events.After(-1).size(), EventLog::kEventsMax);
  EXPECT_EQ(events.After(4998).size(), 2u);
  EXPECT_EQ(events.After(4998)[0].id(), 4999);
  EXPECT_TRUE(events.After(5000).empty());
}

}  // namespace
}  // namespace greenring::control
