#include "base/histogram.h"

#include <cstdint>

#include "gtest/gtest.h"

namespace greenring {
namespace {

TEST(HistogramTest, AnOctaveHasEightBoundsEvenlySpacedFromOneMicrosecond) {
  EXPECT_EQ(Histogram::BoundNs(0), 1000);
  EXPECT_EQ(Histogram::BoundNs(1), 1125);
  EXPECT_EQ(Histogram::BoundNs(7), 1875);
  EXPECT_EQ(Histogram::BoundNs(8), 2000);
  EXPECT_EQ(Histogram::BoundNs(9), 2250);
  EXPECT_EQ(Histogram::BoundNs(Histogram::kBuckets - 2), int64_t{1000} << Histogram::kOctaves);
  for (size_t i = 0; i + 2 < Histogram::kBuckets; ++i) {
    const int64_t octave_ns = int64_t{1000} << (i / 8);
    EXPECT_EQ(Histogram::BoundNs(i + 1) - Histogram::BoundNs(i), octave_ns / 8) << i;
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
  for (int i = 0; i < 100; ++i) histogram.Record(2600);  // 2500 to 2750
  EXPECT_EQ(histogram.QuantileNs(0), 2500);
  EXPECT_EQ(histogram.QuantileNs(0.5), 2625);
  EXPECT_EQ(histogram.QuantileNs(1), 2750);
  EXPECT_EQ(histogram.QuantileNs(-3), 2500);
  EXPECT_EQ(histogram.QuantileNs(3), 2750);
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

TEST(HistogramTest, AQuantileOfOneDurationIsNoFurtherOffThanAnEighth) {
  for (int64_t ns = 1000; ns < Histogram::BoundNs(Histogram::kBuckets - 2); ns += ns / 97) {
    Histogram histogram;
    histogram.Record(ns);
    EXPECT_NEAR(static_cast<double>(histogram.QuantileNs(0.99)), static_cast<double>(ns), static_cast<double>(ns) / 8);
  }
}

TEST(HistogramTest, TheLastBucketHasNoUpperBoundToTell) {
  Histogram histogram;
  histogram.Record(INT64_MAX);
  EXPECT_EQ(histogram.QuantileNs(0.5), Histogram::BoundNs(Histogram::kBuckets - 2));
}

}  // namespace
}  // namespace greenring
