// Histograms and statistics of the API: adding, comparing and reading them, for everybody who has the messages.
//
//   control::v1::Statistics total;
//   for (const auto& worker : workers) AddTo(&total, worker.statistics());
//   int64_t p99_ns = QuantileNs(total.run_time(), 0.99);
//   int64_t recent_p99_ns = QuantileNs(Difference(now.run_time(), a_second_ago.run_time()), 0.99);
//
// Messages may come from elsewhere: a histogram with fewer buckets than are known is taken as it is, what more it has
// is counted in the last bucket, negative counts as none. Plain functions, never park.
#pragma once

#include <cstdint>

#include "base/histogram.h"
#include "greenring/control/v1/statistics.pb.h"

namespace greenring::proto {

// Buckets at the end that count nothing are left out.
void ToProto(const Histogram& from, control::v1::Histogram* to);

// Adds what `from` has counted to `to`.
void AddTo(control::v1::Histogram* to, const control::v1::Histogram& from);

// The same for statistics: counters, histograms and gauges are added, but for the deepest stack, which is the deeper
// one. What of an ended worker still counts is what is left after ClearGauges.
void AddTo(control::v1::Statistics* to, const control::v1::Statistics& from);
void ClearGauges(control::v1::Statistics* statistics);

// What was counted between two looks at the same histogram. A newer one that has counted less was started anew: all of
// it is new.
control::v1::Histogram Difference(const control::v1::Histogram& newer, const control::v1::Histogram& older);

// See Histogram::QuantileNs.
int64_t QuantileNs(const control::v1::Histogram& histogram, double fraction);

}  // namespace greenring::proto
