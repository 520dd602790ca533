#include "control/canary.h"

#include "base/clock.h"
#include "base/histogram.h"
#include "gtest/gtest.h"
#include "proto/histogram.h"

namespace greenring::control {
namespace {

constexpr int64_t kMs = kNanosecondsPerMillisecond;

using Report = worker::v1::FromWorker::Report;

void Count(Report* report, int64_t generation, int requests, int errors, int64_t run_time_ns) {
  Histogram histogram;
  for (int i = 0; i < requests; ++i) histogram.Record(run_time_ns);
  v1::GenerationStatistics* statistics = report->add_generations();
  statistics->set_generation(generation);
  statistics->set_requests(requests);
  statistics->set_errors(errors);
  proto::ToProto(histogram, statistics->mutable_run_time());
}

CanaryTrial::Verdict Judge(int canary_errors, int64_t canary_ns, int errors, int64_t others_ns, bool at_end = true) {
  CanaryTrial trial({}, 2);
  Report report;
  Count(&report, 2, 1000, canary_errors, canary_ns);
  Count(&report, 1, 3000, errors, others_ns);
  trial.Observe("w", report);
  return trial.Judge(at_end);
}

TEST(CanaryTest, WhatDoesAsWellPasses) {
  EXPECT_FALSE(Judge(0, 10 * kMs, 0, 10 * kMs).worse);
  EXPECT_FALSE(Judge(50, 10 * kMs, 150, 10 * kMs).worse);
  EXPECT_FALSE(Judge(10, 10 * kMs, 0, 10 * kMs).worse);  // one percentage point
}

TEST(CanaryTest, MoreErrorsAreWorse) {
  EXPECT_TRUE(Judge(11, 10 * kMs, 0, 10 * kMs).worse);
  EXPECT_FALSE(Judge(11, 10 * kMs, 3, 10 * kMs).worse);  // 0.1 % of the others
}

TEST(CanaryTest, ALongerTailIsWorse) {
  EXPECT_TRUE(Judge(0, 40 * kMs, 0, 20 * kMs).worse);
  EXPECT_FALSE(Judge(0, 20 * kMs, 0, 40 * kMs).worse);
}

TEST(CanaryTest, ARiseIsNoticedWhereverItLiesBetweenTheBuckets) {
  for (int64_t others_ns = 10 * kMs; others_ns < 80 * kMs; others_ns += 37'000) {
    EXPECT_TRUE(Judge(0, others_ns * 141 / 100, 0, others_ns).worse) << others_ns;
    EXPECT_FALSE(Judge(0, others_ns * 111 / 100, 0, others_ns).worse) << others_ns;
  }
}

TEST(CanaryTest, WhatIsBelowAMillisecondIsTheMeasurement) {
  EXPECT_FALSE(Judge(0, 900'000, 0, 100'000).worse);
  EXPECT_TRUE(Judge(0, 4 * kMs, 0, 100'000).worse);
}

TEST(CanaryTest, BeforeTheEndItMustBeClearlyWorse) {
  EXPECT_FALSE(Judge(15, 10 * kMs, 0, 10 * kMs, /*at_end=*/false).worse);
  EXPECT_TRUE(Judge(15, 10 * kMs, 0, 10 * kMs, /*at_end=*/true).worse);
  EXPECT_TRUE(Judge(30, 10 * kMs, 0, 10 * kMs, /*at_end=*/false).worse);
}

TEST(CanaryTest, FewRequestsAreNotJudged) {
  CanaryTrial trial({}, 2);
  Report report;
  Count(&report, 2, 99, 99, 10 * kMs);
  Count(&report, 1, 1000, 0, 10 * kMs);
  trial.Observe("w", report);
  EXPECT_FALSE(trial.Judge(true).worse);
  EXPECT_NE(trial.Judge(true).numbers.find("fewer than 100"), std::string::npos);
  Report more;
  Count(&more, 2, 1, 1, 10 * kMs);
  trial.Observe("other", more);
  EXPECT_TRUE(trial.Judge(true).worse);
}

TEST(CanaryTest, WithoutOthersOnlyErrorsCount) {
  CanaryTrial trial({}, 2);
  Report report;
  Count(&report, 2, 1000, 0, 1000 * kMs);
  trial.Observe("w", report);
  EXPECT_FALSE(trial.Judge(true).worse);
}

TEST(CanaryTest, WhatWasBeforeDoesNotCount) {
  CanaryTrial trial({}, 2);
  Report before;
  Count(&before, 1, 10000, 9000, 1000 * kMs);  // a bad day
  trial.Baseline("w", before);
  Report after;
  Count(&after, 2, 1000, 100, 10 * kMs);
  v1::GenerationStatistics old = before.generations(0);
  old.set_requests(11000);
  Histogram good;
  for (int i = 0; i < 1000; ++i) good.Record(10 * kMs);
  v1::Histogram message;
  proto::ToProto(good, &message);
  proto::AddTo(old.mutable_run_time(), message);
  *after.add_generations() = old;
  trial.Observe("w", after);
  EXPECT_TRUE(trial.Judge(true).worse);
  EXPECT_EQ(trial.Judge(true).numbers.find("the canary served 1000 requests with 10.00% errors"), 0u);
}

TEST(CanaryTest, LimitsAreTheRequests) {
  v1::Canary canary;
  canary.set_error_rate_rise_percent(20);
  canary.set_p99_rise_percent(900);
  canary.set_requests_min(1);
  CanaryTrial trial(canary, 2);
  Report report;
  Count(&report, 2, 10, 1, 40 * kMs);
  Count(&report, 1, 10, 0, 10 * kMs);
  trial.Observe("w", report);
  EXPECT_FALSE(trial.Judge(true).worse);
  EXPECT_EQ(WithDefaults({}).duration().seconds(), 60);
}

}  // namespace
}  // namespace greenring::control
