#include "control/canary.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/clock.h"
#include "proto/histogram.h"

namespace greenring::control {
namespace {

constexpr int64_t kDurationDefaultSeconds = 60;
constexpr double kErrorRateRiseDefaultPercent = 1;
constexpr double kP99RiseDefaultPercent = 25;
constexpr int64_t kRequestsMinDefault = 100;
// What a p99 may always rise by: below, it is the measurement that differs.
constexpr int64_t kP99RiseAlwaysNs = kNanosecondsPerMillisecond;

std::map<int64_t, v1::GenerationStatistics> ByGeneration(const worker::v1::FromWorker::Report& report) {
  std::map<int64_t, v1::GenerationStatistics> result;
  for (const v1::GenerationStatistics& statistics : report.generations()) result[statistics.generation()] = statistics;
  return result;
}

double Milliseconds(int64_t duration_ns) { return static_cast<double>(duration_ns) / kNanosecondsPerMillisecond; }

}  // namespace

v1::Canary WithDefaults(v1::Canary canary) {
  if (!canary.has_duration()) canary.mutable_duration()->set_seconds(kDurationDefaultSeconds);
  if (canary.error_rate_rise_percent() <= 0) canary.set_error_rate_rise_percent(kErrorRateRiseDefaultPercent);
  if (canary.p99_rise_percent() <= 0) canary.set_p99_rise_percent(kP99RiseDefaultPercent);
  if (canary.requests_min() <= 0) canary.set_requests_min(kRequestsMinDefault);
  return canary;
}

void CanaryTrial::Baseline(const std::string& worker, const worker::v1::FromWorker::Report& report) {
  baseline_[worker] = ByGeneration(report);
}

void CanaryTrial::Observe(const std::string& worker, const worker::v1::FromWorker::Report& report) {
  latest_[worker] = ByGeneration(report);
}

CanaryTrial::Verdict CanaryTrial::Judge(bool at_end) const {
  Side changed;
  Side others;
  for (const auto& [worker, generations] : latest_) {
    const auto known = baseline_.find(worker);
    for (const auto& [generation, now] : generations) {
      v1::GenerationStatistics before;
      if (known != baseline_.end()) {
        if (const auto found = known->second.find(generation); found != known->second.end()) before = found->second;
      }
      Side& side = generation == generation_ ? changed : others;
      side.requests += std::max<int64_t>(0, now.requests() - before.requests());
      side.errors += std::max<int64_t>(0, now.errors() - before.errors());
      proto::AddTo(&side.run_time, proto::Difference(now.run_time(), before.run_time()));
    }
  }
  const int64_t p99_ns = proto::QuantileNs(changed.run_time, 0.99);
  const int64_t others_p99_ns = proto::QuantileNs(others.run_time, 0.99);

  Verdict verdict;
  verdict.numbers = absl::StrFormat(
      "the canary served %d requests with %.2f%% errors and a p99 of %.1f ms, the other cores %d with %.2f%% and %.1f "
      "ms",
      changed.requests, changed.error_percent(), Milliseconds(p99_ns), others.requests, others.error_percent(),
      Milliseconds(others_p99_ns));
  if (changed.requests < canary_.requests_min()) {
    absl::StrAppend(&verdict.numbers, "; with fewer than ", canary_.requests_min(), " it is not judged");
    return verdict;
  }
  const double strictness = at_end ? 1 : 2;
  const bool more_errors =
      changed.error_percent() > others.error_percent() + strictness * canary_.error_rate_rise_percent();
  const double p99_allowed_ns = others_p99_ns * (1 + strictness * canary_.p99_rise_percent() / 100);
  // Without anything to compare with, there is no rise.
  const bool slower =
      others.requests > 0 && p99_ns > p99_allowed_ns && p99_ns > others_p99_ns + strictness * kP99RiseAlwaysNs;
  verdict.worse = more_errors || slower;
  return verdict;
}

}  // namespace greenring::control
