// Counts durations in buckets that grow with what they hold, eight an octave: what statistics are made of.
//
//   Histogram waits;
//   waits.Record(took_ns);
//   int64_t median_ns = waits.QuantileNs(0.5);
//
// Bucket i counts durations below BoundNs(i) and not below BoundNs(i - 1). The first bound is 1 microsecond, every
// eighth one after it is twice the last, and those between are evenly spaced; the last bucket counts all from 36
// minutes on. Quantiles are off by the width of a bucket at most: an eighth of the value, below a microsecond 1 us.
//
// A division by a constant, two shifts and two additions a record; no table, no allocation. Not thread-safe. Never
// parks.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace greenring {

class Histogram {
 public:
  static constexpr size_t kBucketsPerOctave = 8;
  static constexpr size_t kOctaves = 31;
  // One below the first bound, one from the last bound on.
  static constexpr size_t kBuckets = kBucketsPerOctave * kOctaves + 2;

  // What bucket i's durations are below; the last bucket, too, is told its bound although it has none. i < kBuckets.
  // Every kBucketsPerOctave-th, from the first on, is a power of two microseconds.
  static constexpr int64_t BoundNs(size_t i) {
    return static_cast<int64_t>((kBucketsPerOctave + i % kBucketsPerOctave) * kStepNs) << (i / kBucketsPerOctave);
  }

  // A negative duration, which clocks that drift may give, is 0.
  static constexpr size_t BucketOf(int64_t duration_ns) {
    if (duration_ns < kFirstBoundNs) return 0;
    if (duration_ns >= BoundNs(kBuckets - 2)) return kBuckets - 1;
    const uint64_t steps = static_cast<uint64_t>(duration_ns) / kStepNs;
    const auto octave = static_cast<size_t>(std::bit_width(steps / kBucketsPerOctave) - 1);
    // What is left are the steps of this octave, from kBucketsPerOctave to twice that.
    return kBucketsPerOctave * octave + (steps >> octave) - kBucketsPerOctave + 1;
  }

  void Record(int64_t duration_ns) {
    ++buckets_[BucketOf(duration_ns)];
    if (duration_ns > 0) sum_ns_ += duration_ns;
  }

  // Adds what `other` has counted.
  void Merge(const Histogram& other) {
    for (size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
    sum_ns_ += other.sum_ns_;
  }

  // What `fraction` (0 to 1) of the durations are not above, taken as evenly spread within their bucket; of those in
  // the last one, its lower bound. 0 without any.
  int64_t QuantileNs(double fraction) const { return QuantileNs(buckets_, fraction); }

  // The same of buckets that come from elsewhere.
  static int64_t QuantileNs(const std::array<int64_t, kBuckets>& buckets, double fraction) {
    int64_t count = 0;
    for (const int64_t bucket : buckets) count += bucket;
    if (count == 0) return 0;
    const double rank = (fraction < 0 ? 0 : fraction > 1 ? 1 : fraction) * static_cast<double>(count);
    double below = 0;
    size_t last = 0;
    for (size_t i = 0; i < kBuckets; ++i) {
      const auto here = static_cast<double>(buckets[i]);
      if (here == 0) continue;
      last = i;
      if (below + here >= rank) return Within(i, (rank - below) / here);
      below += here;
    }
    return Within(last, 1);  // the sum of the doubles fell short of the count
  }

  const std::array<int64_t, kBuckets>& buckets() const { return buckets_; }
  int64_t sum_ns() const { return sum_ns_; }
  int64_t count() const {
    int64_t count = 0;
    for (const int64_t bucket : buckets_) count += bucket;
    return count;
  }

 private:
  static constexpr int64_t kFirstBoundNs = 1000;
  // The width of the buckets in the first octave; that of others is a power of two times this, so every bound is exact.
  static constexpr uint64_t kStepNs = kFirstBoundNs / kBucketsPerOctave;
  static_assert(kStepNs * kBucketsPerOctave == kFirstBoundNs);

  static int64_t Within(size_t bucket, double part) {
    const int64_t from_ns = bucket == 0 ? 0 : BoundNs(bucket - 1);
    if (bucket == kBuckets - 1) return from_ns;
    return from_ns + static_cast<int64_t>(part * static_cast<double>(BoundNs(bucket) - from_ns));
  }

  std::array<int64_t, kBuckets> buckets_{};
  int64_t sum_ns_ = 0;
};

}  // namespace greenring
