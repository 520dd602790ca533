#include "control/metrics.h"

#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/histogram.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

// Each sample with its name and labels as they stand there. What no scraper takes fails the test: samples without a
// type, a metric that is there twice, a value that is no number, a sample that is there twice.
std::map<std::string, double> Parse(const std::string& text) {
  std::map<std::string, double> samples;
  std::set<std::string> typed;
  std::string type;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    if (absl::StartsWith(line, "# TYPE ")) {
      const std::vector<std::string> words = absl::StrSplit(line, ' ');
      EXPECT_TRUE(typed.insert(words.at(2)).second) << line;
      type = words.at(2);
      continue;
    }
    if (absl::StartsWith(line, "#")) continue;
    const size_t space = line.rfind(' ');
    const std::string name(line.substr(0, space));
    EXPECT_TRUE(absl::StartsWith(name, type)) << name << " is not of " << type;
    double value = 0;
    EXPECT_TRUE(absl::SimpleAtod(line.substr(space + 1), &value)) << line;
    EXPECT_TRUE(samples.emplace(name, value).second) << line;
  }
  return samples;
}

v1::PoolStatistics Statistics(const std::string& pool) {
  v1::PoolStatistics statistics;
  statistics.set_pool(pool);
  return statistics;
}

TEST(MetricsTest, CountsRequestsByTheirStatus) {
  MetricsInput input;
  v1::PoolStatistics& web = input.statistics.emplace_back(Statistics("pools/web"));
  (*web.mutable_total()->mutable_responses_by_status())[200] = 1302;
  (*web.mutable_total()->mutable_responses_by_status())[503] = 7;
  const std::map<std::string, double> samples = Parse(ToPrometheusText(input));
  EXPECT_EQ(samples.at(R"(greenring_requests_total{pool="web",code="200"})"), 1302);
  EXPECT_EQ(samples.at(R"(greenring_requests_total{pool="web",code="503"})"), 7);
}

TEST(MetricsTest, LargeCountsKeepEveryDigit) {
  MetricsInput input;
  v1::PoolStatistics& web = input.statistics.emplace_back(Statistics("pools/web"));
  web.mutable_total()->set_bytes_sent(1'234'567'890'123);
  EXPECT_THAT(ToPrometheusText(input), testing::HasSubstr("greenring_sent_bytes_total{pool=\"web\"} 1234567890123\n"));
}

TEST(MetricsTest, HistogramsAreCumulativeAndInSeconds) {
  MetricsInput input;
  v1::PoolStatistics& web = input.statistics.emplace_back(Statistics("pools/web"));
  v1::Histogram* run_time = web.mutable_total()->mutable_run_time();
  for (size_t i = 0; i < Histogram::kBuckets; ++i) run_time->add_buckets(0);
  run_time->set_buckets(0, 1);                        // below 1 us
  run_time->set_buckets(73, 2);                       // below 576 us
  run_time->set_buckets(80, 4);                       // below 1.024 ms
  run_time->set_buckets(Histogram::kBuckets - 1, 8);  // longer than all
  run_time->set_sum_ns(2'500'000'000);
  run_time->set_count(15);
  const std::map<std::string, double> samples = Parse(ToPrometheusText(input));
  const auto at = [&samples](const std::string& bound) {
    return samples.at(absl::StrCat("greenring_run_time_seconds_bucket{pool=\"web\",le=\"", bound, "\"}"));
  };
  EXPECT_EQ(samples.at(R"(greenring_run_time_seconds_count{pool="web"})"), 15);
  EXPECT_EQ(samples.at(R"(greenring_run_time_seconds_sum{pool="web"})"), 2.5);
  EXPECT_EQ(at("+Inf"), 15);
  std::map<double, double> cumulative;
  for (const auto& [name, value] : samples) {
    const size_t begin = name.find("le=\"");
    double bound = 0;
    if (!absl::StartsWith(name, "greenring_run_time_seconds_bucket") || absl::StrContains(name, "+Inf")) continue;
    ASSERT_TRUE(absl::SimpleAtod(name.substr(begin + 4, name.size() - begin - 6), &bound)) << name;
    cumulative[bound] = value;
  }
  ASSERT_EQ(cumulative.size(), 32u);
  EXPECT_EQ(cumulative.at(1e-6), 1);
  EXPECT_EQ(cumulative.at(512e-6), 1);
  EXPECT_EQ(cumulative.at(1024e-6), 7);
  EXPECT_EQ(cumulative.rbegin()->second, 7) << "what is longer is in +Inf only";
  double last = 0;
  for (const auto& [bound, value] : cumulative) {
    EXPECT_GE(value, last);
    last = value;
  }
}

TEST(MetricsTest, AHistogramWithoutMeasurementsIsThereWithZeros) {
  MetricsInput input;
  input.statistics.push_back(Statistics("pools/web"));
  const std::map<std::string, double> samples = Parse(ToPrometheusText(input));
  EXPECT_EQ(samples.at(R"(greenring_gil_wait_seconds_bucket{pool="web",le="+Inf"})"), 0);
  EXPECT_EQ(samples.at(R"(greenring_gil_wait_seconds_count{pool="web"})"), 0);
}

TEST(MetricsTest, WorkersHaveGaugesOnly) {
  MetricsInput input;
  v1::PoolStatistics& web = input.statistics.emplace_back(Statistics("pools/web"));
  v1::WorkerStatistics* worker = web.add_workers();
  worker->set_worker("pools/web/workers/12");
  worker->mutable_statistics()->set_cores_busy(3);
  worker->mutable_statistics()->set_bytes_sent(99);
  const std::map<std::string, double> samples = Parse(ToPrometheusText(input));
  EXPECT_EQ(samples.at(R"(greenring_worker_cores_busy{pool="web",worker="12"})"), 3);
  for (const auto& [name, value] : samples) {
    EXPECT_FALSE(absl::StrContains(name, "worker=") && absl::StrContains(name, "_total")) << name;
  }
}

TEST(MetricsTest, TellsThePoolsStateAndItsWorkers) {
  MetricsInput input;
  v1::Pool& web = input.pools.emplace_back();
  web.set_name("pools/web");
  web.set_workers(4);
  web.set_async_cores(256);
  web.set_generation(3);
  web.mutable_status()->set_state(v1::PoolStatus::RECONCILING);
  web.mutable_status()->set_workers_ready(3);
  web.mutable_status()->set_workers_starting(1);
  web.mutable_status()->set_restarts(2);
  const std::map<std::string, double> samples = Parse(ToPrometheusText(input));
  EXPECT_EQ(samples.at(R"(greenring_pool_state{pool="web",state="reconciling"})"), 1);
  EXPECT_EQ(samples.at(R"(greenring_pool_state{pool="web",state="ready"})"), 0);
  EXPECT_EQ(samples.at(R"(greenring_workers{pool="web",state="ready"})"), 3);
  EXPECT_EQ(samples.at(R"(greenring_cores_max{pool="web"})"), 768);
  EXPECT_EQ(samples.at(R"(greenring_workers_desired{pool="web"})"), 4);
  EXPECT_EQ(samples.at(R"(greenring_worker_restarts_total{pool="web"})"), 2);
}

TEST(MetricsTest, WhateverACallIsNamedStaysWithinItsLabel) {
  MetricsInput input;
  v1::PoolStatistics& web = input.statistics.emplace_back(Statistics("pools/web"));
  (*web.mutable_total()->mutable_parks_by_call())["a\"b\\c\nd"] = 1;
  const std::map<std::string, double> samples = Parse(ToPrometheusText(input));
  EXPECT_EQ(samples.at(R"(greenring_parks_total{pool="web",call="a\"b\\c\nd"})"), 1);
}

}  // namespace
}  // namespace greenring::control
