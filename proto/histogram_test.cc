#include "proto/histogram.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/reflection.h>

#include "gtest/gtest.h"

namespace greenring::proto {
namespace {

namespace v1 = control::v1;

v1::Histogram Of(std::initializer_list<int64_t> durations_ns) {
  Histogram histogram;
  for (const int64_t duration_ns : durations_ns) histogram.Record(duration_ns);
  v1::Histogram message;
  ToProto(histogram, &message);
  return message;
}

TEST(ProtoHistogramTest, TellsWhatItWasMadeOf) {
  const v1::Histogram message = Of({500, 1500, 1500});
  EXPECT_EQ(message.count(), 3);
  EXPECT_EQ(message.sum_ns(), 3500);
  ASSERT_EQ(message.buckets_size(), 6) << "what counts nothing is left out";
  EXPECT_EQ(message.buckets(0), 1);
  EXPECT_EQ(message.buckets(5), 2) << "1500 to 1625 ns";
  EXPECT_EQ(QuantileNs(message, 1), 1625);
}

TEST(ProtoHistogramTest, AddsHistogramsOfDifferentLengths) {
  v1::Histogram sum = Of({500});
  AddTo(&sum, Of({1'000'000}));
  AddTo(&sum, Of({500}));
  EXPECT_EQ(sum.count(), 3);
  EXPECT_EQ(sum.sum_ns(), 1'001'000);
  EXPECT_EQ(sum.buckets(0), 2);
  EXPECT_EQ(sum.buckets_size(), static_cast<int>(Histogram::BucketOf(1'000'000)) + 1);
}

TEST(ProtoHistogramTest, DifferenceIsWhatCameLast) {
  const v1::Histogram before = Of({500, 500});
  v1::Histogram now = before;
  AddTo(&now, Of({1500}));
  const v1::Histogram recent = Difference(now, before);
  EXPECT_EQ(recent.count(), 1);
  EXPECT_EQ(recent.sum_ns(), 1500);
  EXPECT_EQ(recent.buckets(0), 0);
  EXPECT_EQ(recent.buckets(5), 1);
  EXPECT_EQ(Difference(before, now).count(), before.count()) << "counted anew";
}

TEST(ProtoHistogramTest, SurvivesWhatOthersSend) {
  v1::Histogram strange;
  for (int i = 0; i < 1000; ++i) strange.add_buckets(i % 2 == 0 ? -7 : 1);
  EXPECT_EQ(QuantileNs(strange, 1), Histogram::BoundNs(Histogram::kBuckets - 2)) << "the last bucket's lower bound";
  v1::Histogram sum;
  AddTo(&sum, strange);
  EXPECT_EQ(sum.buckets_size(), static_cast<int>(Histogram::kBuckets));
  EXPECT_EQ(QuantileNs(v1::Histogram(), 0.5), 0);
}

// Every field is filled in, so that one which AddTo forgets is noticed.
v1::Statistics Filled() {
  v1::Statistics statistics;
  const google::protobuf::Descriptor* const descriptor = v1::Statistics::descriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const google::protobuf::FieldDescriptor* const field = descriptor->field(i);
    if (field->is_map()) continue;
    if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_INT32) {
      statistics.GetReflection()->SetInt32(&statistics, field, 3);
    } else if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_INT64) {
      statistics.GetReflection()->SetInt64(&statistics, field, 3);
    } else {
      *static_cast<v1::Histogram*>(statistics.GetReflection()->MutableMessage(&statistics, field)) = Of({500});
    }
  }
  (*statistics.mutable_responses_by_status())[200] = 3;
  (*statistics.mutable_parks_by_call())["recv"] = 3;
  return statistics;
}

TEST(StatisticsTest, EveryFieldIsAdded) {
  v1::Statistics sum = Filled();
  AddTo(&sum, Filled());
  const google::protobuf::Descriptor* const descriptor = v1::Statistics::descriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const google::protobuf::FieldDescriptor* const field = descriptor->field(i);
    if (field->is_map()) continue;
    if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_INT32) {
      EXPECT_EQ(sum.GetReflection()->GetInt32(sum, field), 6) << field->name();
    } else if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_INT64) {
      const int64_t expected = field->name() == "stack_deepest_bytes" ? 3 : 6;
      EXPECT_EQ(sum.GetReflection()->GetInt64(sum, field), expected) << field->name();
    } else {
      const auto& histogram = static_cast<const v1::Histogram&>(sum.GetReflection()->GetMessage(sum, field));
      EXPECT_EQ(histogram.count(), 2) << field->name();
    }
  }
  EXPECT_EQ(sum.responses_by_status().at(200), 6);
  EXPECT_EQ(sum.parks_by_call().at("recv"), 6);
}

TEST(StatisticsTest, WithoutItsGaugesAnEndedWorkerCountsOn) {
  v1::Statistics ended = Filled();
  ClearGauges(&ended);
  EXPECT_EQ(ended.cores(), 0);
  EXPECT_EQ(ended.cores_busy(), 0);
  EXPECT_EQ(ended.queue_depth(), 0);
  EXPECT_EQ(ended.connections(), 0);
  EXPECT_EQ(ended.rss_bytes(), 0);
  EXPECT_EQ(ended.stack_deepest_bytes(), 0);
  EXPECT_EQ(ended.requests(), 3);
  EXPECT_EQ(ended.run_time().count(), 1);
}

}  // namespace
}  // namespace greenring::proto
