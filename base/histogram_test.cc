#include "base/histogram.h"

#include <cstdint>

#include "gtest/gtest.h"

namespace greenring {
namespace {

// The largest n with n * n <= 2 * 10^6 * 4^k, which is floor(1000 * sqrt(2) * 2^k).
int64_t HalfOctaveNs(size_t k) {
  __extension__ using Wide = unsigned __int128;
  const Wide square = Wide{2'000'000} << (2 * k);
  int64_t low = 0, high = int64_t{1} << 50;
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    if (static_cast<Wide>(middle) * static_cast<Wide>(middle) <= square) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

TEST(HistogramTest, BoundsAreHalfOctavesFromOneMicrosecondRoundedDown) {
  EXPECT_EQ(Histogram::BoundNs(0), 1000);
  EXPECT_EQ(Histogram::BoundNs(1), 1414);
  EXPECT_EQ(Histogram::BoundNs(2), 2000);
  EXPECT_EQ(Histogram::BoundNs(3), 2828);
  for (size_t i = 0; i < Histogram::kBuckets; ++i) {
    EXPECT_EQ(Histogram::BoundNs(i), i % 2 == 0 ? int64_t{1000} << (i / 2) : HalfOctaveNs(i / 2)) << i;
  }
}

TEST(HistogramTest, ABucketHoldsItsLowerBoundAndNotItsUpperOne) {
  for (size_t i = 0; i + 1 < Histogram::kBuckets; ++i) {
    EXPECT_EQ(Histogram::BucketOf(Histogram::BoundNs(i) - 1), i);
    EXPECT_EQ(Histogram::BucketOf(Histogram::BoundNs(i)), i + 1);
  }
}

TEST(HistogramTest, WhatIsTooLongOrNegativeHasABucketToo) {
  EXPECT_EQ(Histogram::BucketOf(INT64_MAX), Histogram::kBuckets - 1);
  EXPECT_EQ(Histogram::BucketOf(INT64_MIN), 0u);
  EXPECT_EQ(Histogram::BucketOf(0), 0u);
  Histogram histogram;
  histogram.Record(-5);
  EXPECT_EQ(histogram.count(), 1);
  EXPECT_EQ(histogram.sum_ns(), 0);
}

TEST(HistogramTest, MergeAddsEverything) {
  Histogram a, b;
  a.Record(500);
  a.Record(1'000'000);
  b.Record(1'000'000);
  a.Merge(b);
  EXPECT_EQ(a.count(), 3);
  EXPECT_EQ(a.sum_ns(), 2'000'500);
  EXPECT_EQ(a.buckets()[0], 1);
  EXPECT_EQ(a.buckets()[Histogram::BucketOf(1'000'000)], 2);
}

TEST(HistogramTest, QuantilesAreInterpolatedWithinABucket) {
  Histogram histogram;
  EXPECT_EQ(histogram.QuantileNs(0.99), 0);
  for (int i = 0; i < 100; ++i) histogram.Record(2500);  // 2000 to 2828
  EXPECT_EQ(histogram.QuantileNs(0), 2000);
  EXPECT_EQ(histogram.QuantileNs(0.5), 2414);
  EXPECT_EQ(histogram.QuantileNs(1), 2828);
  EXPECT_EQ(histogram.QuantileNs(-3), 2000);
  EXPECT_EQ(histogram.QuantileNs(3), 2828);
}

TEST(HistogramTest, QuantilesAreNoFurtherOffThanTheirBucket) {
  Histogram histogram;
  for (int64_t ns = 1; ns <= 1'000'000; ns += 97) histogram.Record(ns);
  for (const double fraction : {0.01, 0.1, 0.5, 0.9, 0.99, 0.999}) {
    const double exact_ns = fraction * 1e6;
    const double told_ns = static_cast<double>(histogram.QuantileNs(fraction));
    EXPECT_NEAR(told_ns, exact_ns, exact_ns * 0.05) << fraction;  // evenly spread, so interpolation is nearly exact
  }
}

TEST(HistogramTest, TheLastBucketHasNoUpperBoundToTell) {
  Histogram histogram;
  histogram.Record(INT64_MAX);
  EXPECT_EQ(histogram.QuantileNs(0.5), Histogram::BoundNs(Histogram::kBuckets - 2));
}

}  // namespace
}  // namespace greenring
