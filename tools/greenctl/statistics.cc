#include "tools/greenctl/statistics.h"

#include "proto/histogram.h"

namespace greenring::greenctl {
namespace {

double Rate(int64_t older, int64_t newer, double seconds) {
  return static_cast<double>(newer >= older ? newer - older : newer) / seconds;
}

int64_t ErrorsOf(const v1::Statistics& statistics) {
  int64_t errors = 0;
  for (const auto& [status, count] : statistics.responses_by_status()) {
    if (status >= 500) errors += count;
  }
  return errors;
}

}  // namespace

Rates RatesBetween(const v1::Statistics& older, const v1::Statistics& newer, absl::Duration elapsed) {
  Rates rates;
  const double seconds = absl::ToDoubleSeconds(elapsed);
  if (seconds <= 0) return rates;
  rates.requests_per_s = Rate(older.requests(), newer.requests(), seconds);
  rates.errors_per_s = Rate(ErrorsOf(older), ErrorsOf(newer), seconds);
  rates.cpu_percent = 100 * Rate(older.cpu_ns(), newer.cpu_ns(), seconds * 1e9);
  const v1::Histogram run_time = proto::Difference(newer.run_time(), older.run_time());
  const v1::Histogram queue_wait = proto::Difference(newer.queue_wait(), older.queue_wait());
  rates.run_time_p50 = absl::Nanoseconds(proto::QuantileNs(run_time, 0.5));
  rates.run_time_p99 = absl::Nanoseconds(proto::QuantileNs(run_time, 0.99));
  rates.queue_wait_p99 = absl::Nanoseconds(proto::QuantileNs(queue_wait, 0.99));
  return rates;
}

}  // namespace greenring::greenctl
