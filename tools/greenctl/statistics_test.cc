#include "tools/greenctl/statistics.h"

#include <gtest/gtest.h>

namespace greenring::greenctl {
namespace {

// A pool whose workers have told, so far, of so many requests and turns.
class MeterTest : public ::testing::Test {
 protected:
  MeterTest() { now_.set_pool("pools/web"); }

  void Tell(const std::string& worker, int64_t requests, int64_t turns) {
    v1::WorkerStatistics* one = nullptr;
    for (v1::WorkerStatistics& known : *now_.mutable_workers()) {
      if (known.worker() == worker) one = &known;
    }
    if (one == nullptr) one = now_.add_workers();
    one->set_worker(worker);
    v1::Statistics* statistics = one->mutable_statistics();
    statistics->set_requests(requests);
    statistics->set_turns(turns);
    (*statistics->mutable_responses_by_status())[500] = requests;
    statistics->set_cpu_ns(requests * 1'000'000);
  }

  void LookAt(int64_t milliseconds) {
    now_.mutable_time()->set_seconds(1'000'000 + milliseconds / 1000);
    now_.mutable_time()->set_nanos(static_cast<int32_t>(milliseconds % 1000 * 1'000'000));
    meter_.Look(now_);
  }

  // One second of worker a.
  void TellOfAHundredRequests() {
    Tell("a", 0, 1);
    LookAt(0);
    Tell("a", 100, 2);
    LookAt(1000);
  }

  v1::PoolStatistics now_;
  Meter meter_;
};

TEST_F(MeterTest, AFirstLookMeasuresNothing) {
  Tell("a", 1000, 1);
  LookAt(0);
  EXPECT_FALSE(meter_.measured());
  EXPECT_EQ(meter_.pool().requests_per_s, 0);
}

TEST_F(MeterTest, RatesStayBetweenNews) {
  Tell("a", 1000, 1);
  LookAt(0);
  LookAt(500);
  EXPECT_FALSE(meter_.measured());
  for (int second = 1; second <= 3; ++second) {
    Tell("a", 1000 + 200 * second, 1 + second);
    LookAt(1000 * second);
    EXPECT_TRUE(meter_.measured());
    EXPECT_EQ(meter_.pool().requests_per_s, 200);
    EXPECT_EQ(meter_.pool().errors_per_s, 200);
    EXPECT_EQ(meter_.pool().cpu_percent, 20);
    LookAt(1000 * second + 500);
    EXPECT_EQ(meter_.pool().requests_per_s, 200);
  }
}

TEST_F(MeterTest, WorkersTellAtDifferentTimes) {
  Tell("a", 0, 1);
  Tell("b", 0, 1);
  LookAt(0);
  Tell("a", 100, 2);
  LookAt(500);
  Tell("b", 100, 2);
  LookAt(1000);
  for (int second = 1; second <= 3; ++second) {
    Tell("a", 100 + 300 * second, 2 + second);
    LookAt(1000 * second + 500);
    Tell("b", 100 + 100 * second, 2 + second);
    LookAt(1000 * second + 1000);
    EXPECT_EQ(meter_.worker("a").requests_per_s, 300);
    EXPECT_EQ(meter_.worker("b").requests_per_s, 100);
    EXPECT_EQ(meter_.pool().requests_per_s, 400);
  }
}

TEST_F(MeterTest, OneThatIsIdleHasNoRateAsSoonAsItSaysSo) {
  TellOfAHundredRequests();
  Tell("a", 100, 3);
  LookAt(2000);
  EXPECT_EQ(meter_.pool().requests_per_s, 0);
}

TEST_F(MeterTest, OneThatDoesNotTellAnyMoreHasNoRateAfterThreeSeconds) {
  TellOfAHundredRequests();
  LookAt(4000);
  EXPECT_EQ(meter_.pool().requests_per_s, 100);
  LookAt(4001);
  EXPECT_EQ(meter_.pool().requests_per_s, 0);
  Tell("a", 500, 3);
  LookAt(5000);
  EXPECT_EQ(meter_.pool().requests_per_s, 100) << "on average, since it told something last";
}

TEST_F(MeterTest, ANewWorkersCountersAreNotOfOneIntervalAlone) {
  Tell("a", 0, 1);
  LookAt(0);
  Tell("b", 5000, 9);
  LookAt(1000);
  EXPECT_EQ(meter_.worker("b").requests_per_s, 0);
  EXPECT_EQ(meter_.pool().requests_per_s, 0);
}

TEST_F(MeterTest, AWorkerThatHasGoneHasNoRate) {
  TellOfAHundredRequests();
  now_.clear_workers();
  LookAt(2000);
  EXPECT_EQ(meter_.worker("a").requests_per_s, 0);
  EXPECT_EQ(meter_.pool().requests_per_s, 0);
  EXPECT_TRUE(meter_.measured());
}

TEST_F(MeterTest, CountersThatHaveFallenCountFromZero) {
  Tell("a", 1000, 100);
  LookAt(0);
  Tell("a", 50, 3);
  LookAt(1000);
  EXPECT_EQ(meter_.pool().requests_per_s, 50);
}

TEST_F(MeterTest, QuantilesAreOfTheRequestsOfAllWorkers) {
  Tell("a", 0, 1);
  Tell("b", 0, 1);
  LookAt(0);
  Tell("a", 99, 2);
  Tell("b", 1, 2);
  for (v1::WorkerStatistics& worker : *now_.mutable_workers()) {
    v1::Histogram* run_time = worker.mutable_statistics()->mutable_run_time();
    const int bucket = worker.worker() == "a" ? 1 : 120;  // about 1 us, and 33 ms
    for (int i = 0; i <= bucket; ++i) run_time->add_buckets(i == bucket ? worker.statistics().requests() : 0);
    run_time->set_count(worker.statistics().requests());
  }
  LookAt(1000);
  EXPECT_LT(meter_.pool().run_time_p50, absl::Microseconds(2)) << "as most requests, all of a";
  EXPECT_GT(meter_.worker("b").run_time_p50, absl::Milliseconds(10));
}

}  // namespace
}  // namespace greenring::greenctl
