#include "tools/greenctl/statistics.h"

#include <utility>

#include "control/config/quantities.h"
#include "proto/histogram.h"

namespace greenring::greenctl {
namespace {

// Workers tell of themselves once a second; one that does not for so long does not turn.
constexpr absl::Duration kNewsPeriod = absl::Seconds(1);
constexpr absl::Duration kNewsLate = absl::Seconds(3);

// Counters that have fallen (a server that was restarted) count from zero.
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

// To tell of itself takes a worker a turn of its loop, and processor time.
bool IsNews(const v1::Statistics& older, const v1::Statistics& newer) {
  return older.turns() != newer.turns() || older.cpu_ns() != newer.cpu_ns() || older.requests() != newer.requests();
}

}  // namespace

void Meter::Measure(const v1::Statistics& now, absl::Time time, Source* source) {
  if (!IsNews(source->statistics, now)) {
    if (time - source->changed > kNewsLate) {
      Source silent;
      silent.statistics = now;
      silent.changed = source->changed;
      silent.measured = true;
      *source = std::move(silent);
    }
    return;
  }
  const double seconds = absl::ToDoubleSeconds(time - source->changed);
  if (seconds <= 0) return;
  const v1::Statistics& older = source->statistics;
  source->requests_per_s = Rate(older.requests(), now.requests(), seconds);
  source->errors_per_s = Rate(ErrorsOf(older), ErrorsOf(now), seconds);
  source->cpu_percent = 100 * Rate(older.cpu_ns(), now.cpu_ns(), seconds * 1e9);
  source->queue_wait = proto::Difference(now.queue_wait(), older.queue_wait());
  source->run_time = proto::Difference(now.run_time(), older.run_time());
  source->statistics = now;
  source->changed = time;
  source->measured = true;
}

void Meter::Look(const v1::PoolStatistics& now) {
  const absl::Time time = control::FromProto(now.time());
  if (begun_ == absl::InfiniteFuture()) begun_ = time;
  last_ = time;
  std::map<std::string, Source> present;
  for (const v1::WorkerStatistics& worker : now.workers()) {
    Source& source = present[worker.worker()];
    const auto known = workers_.find(worker.worker());
    if (known == workers_.end()) {
      // Its counters are not of one interval alone.
      source.statistics = worker.statistics();
      source.changed = time;
    } else {
      source = std::move(known->second);
      Measure(worker.statistics(), time, &source);
    }
  }
  workers_ = std::move(present);
}

bool Meter::measured() const {
  if (last_ - begun_ >= 2 * kNewsPeriod) return true;
  for (const auto& [name, source] : workers_) {
    if (!source.measured) return false;
  }
  return last_ > begun_;
}

void Meter::Add(const Source& source, Source* sum) {
  sum->requests_per_s += source.requests_per_s;
  sum->errors_per_s += source.errors_per_s;
  sum->cpu_percent += source.cpu_percent;
  proto::AddTo(&sum->queue_wait, source.queue_wait);
  proto::AddTo(&sum->run_time, source.run_time);
}

Rates Meter::RatesOf(const Source& source) {
  return {.requests_per_s = source.requests_per_s,
          .errors_per_s = source.errors_per_s,
          .cpu_percent = source.cpu_percent,
          .queue_wait_p99 = absl::Nanoseconds(proto::QuantileNs(source.queue_wait, 0.99)),
          .run_time_p50 = absl::Nanoseconds(proto::QuantileNs(source.run_time, 0.5)),
          .run_time_p99 = absl::Nanoseconds(proto::QuantileNs(source.run_time, 0.99))};
}

Rates Meter::pool() const {
  Source sum;
  for (const auto& [name, source] : workers_) Add(source, &sum);
  return RatesOf(sum);
}

Rates Meter::worker(const std::string& name) const {
  const auto found = workers_.find(name);
  return found == workers_.end() ? Rates() : RatesOf(found->second);
}

}  // namespace greenring::greenctl
