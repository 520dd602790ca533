#include "proto/histogram.h"

#include <algorithm>
#include <array>

namespace greenring::proto {
namespace {

namespace v1 = control::v1;

using Buckets = std::array<int64_t, Histogram::kBuckets>;

Buckets BucketsOf(const v1::Histogram& histogram) {
  Buckets buckets{};
  for (int i = 0; i < histogram.buckets_size(); ++i) {
    buckets[std::min(static_cast<size_t>(i), buckets.size() - 1)] += std::max<int64_t>(0, histogram.buckets(i));
  }
  return buckets;
}

void SetBuckets(const Buckets& buckets, v1::Histogram* histogram) {
  size_t used = buckets.size();
  while (used > 0 && buckets[used - 1] == 0) --used;
  histogram->mutable_buckets()->Assign(buckets.begin(), buckets.begin() + static_cast<std::ptrdiff_t>(used));
}

}  // namespace

void ToProto(const Histogram& from, v1::Histogram* to) {
  SetBuckets(from.buckets(), to);
  to->set_sum_ns(from.sum_ns());
  to->set_count(from.count());
}

void AddTo(v1::Histogram* to, const v1::Histogram& from) {
  Buckets sum = BucketsOf(*to);
  const Buckets more = BucketsOf(from);
  for (size_t i = 0; i < sum.size(); ++i) sum[i] += more[i];
  SetBuckets(sum, to);
  to->set_sum_ns(to->sum_ns() + from.sum_ns());
  to->set_count(to->count() + from.count());
}

void AddTo(v1::Statistics* to, const v1::Statistics& from) {
  to->set_cores(to->cores() + from.cores());
  to->set_cores_busy(to->cores_busy() + from.cores_busy());
  to->set_queue_depth(to->queue_depth() + from.queue_depth());
  to->set_connections(to->connections() + from.connections());
  to->set_rss_bytes(to->rss_bytes() + from.rss_bytes());
  to->set_stack_deepest_bytes(std::max(to->stack_deepest_bytes(), from.stack_deepest_bytes()));

  to->set_requests(to->requests() + from.requests());
  for (const auto& [status, count] : from.responses_by_status()) (*to->mutable_responses_by_status())[status] += count;
  to->set_connections_accepted(to->connections_accepted() + from.connections_accepted());
  to->set_requests_refused(to->requests_refused() + from.requests_refused());
  to->set_requests_timed_out(to->requests_timed_out() + from.requests_timed_out());
  to->set_requests_cancelled(to->requests_cancelled() + from.requests_cancelled());
  to->set_bytes_received(to->bytes_received() + from.bytes_received());
  to->set_bytes_sent(to->bytes_sent() + from.bytes_sent());
  to->set_cpu_ns(to->cpu_ns() + from.cpu_ns());
  to->set_switches(to->switches() + from.switches());
  to->set_turns(to->turns() + from.turns());
  for (const auto& [call, count] : from.parks_by_call()) (*to->mutable_parks_by_call())[call] += count;
  to->set_stack_overflows(to->stack_overflows() + from.stack_overflows());
  to->set_preemptions(to->preemptions() + from.preemptions());
  to->set_probes(to->probes() + from.probes());

  if (from.has_queue_wait()) AddTo(to->mutable_queue_wait(), from.queue_wait());
  if (from.has_run_time()) AddTo(to->mutable_run_time(), from.run_time());
  if (from.has_loop_lag()) AddTo(to->mutable_loop_lag(), from.loop_lag());
  if (from.has_gil_wait()) AddTo(to->mutable_gil_wait(), from.gil_wait());
}

void ClearGauges(v1::Statistics* statistics) {
  statistics->clear_cores();
  statistics->clear_cores_busy();
  statistics->clear_queue_depth();
  statistics->clear_connections();
  statistics->clear_rss_bytes();
  statistics->clear_stack_deepest_bytes();
}

v1::Histogram Difference(const v1::Histogram& newer, const v1::Histogram& older) {
  Buckets buckets = BucketsOf(newer);
  const Buckets before = BucketsOf(older);
  if (!std::equal(before.begin(), before.end(), buckets.begin(), [](int64_t a, int64_t b) { return a <= b; })) {
    return newer;
  }
  for (size_t i = 0; i < buckets.size(); ++i) buckets[i] -= before[i];
  v1::Histogram difference;
  SetBuckets(buckets, &difference);
  difference.set_sum_ns(newer.sum_ns() - older.sum_ns());
  difference.set_count(newer.count() - older.count());
  return difference;
}

int64_t QuantileNs(const v1::Histogram& histogram, double fraction) {
  return Histogram::QuantileNs(BucketsOf(histogram), fraction);
}

}  // namespace greenring::proto
