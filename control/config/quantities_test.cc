#include "control/config/quantities.h"

#include <limits>

#include "gtest/gtest.h"

namespace greenring::control {
namespace {

TEST(QuantitiesTest, SizesHaveUnitsOfPowersOf1024InAnyCase) {
  EXPECT_EQ(BytesFromText("262144"), 262144);
  EXPECT_EQ(BytesFromText("12b"), 12);
  EXPECT_EQ(BytesFromText("64KiB"), 65536);
  EXPECT_EQ(BytesFromText("64kb"), 65536);
  EXPECT_EQ(BytesFromText("1m"), 1 << 20);
  EXPECT_EQ(BytesFromText("2G"), int64_t{2} << 30);
  EXPECT_EQ(BytesFromText("8589934591GiB"), int64_t{8589934591} << 30);
}

TEST(QuantitiesTest, WhatIsNoSizeIsNone) {
  for (const char* text :
       {"", "k", "-1", "1.5m", "1 m", "0x10", "1t", "99999999999999999999", "8589934592GiB", "1kk"}) {
    EXPECT_FALSE(BytesFromText(text).has_value()) << text;
  }
}

TEST(QuantitiesTest, DurationsHaveUnitsOrAreSeconds) {
  EXPECT_EQ(DurationFromText("1m30s"), absl::Seconds(90));
  EXPECT_EQ(DurationFromText("500ms"), absl::Milliseconds(500));
  EXPECT_EQ(DurationFromText("0.5"), absl::Milliseconds(500));
  EXPECT_EQ(DurationFromText("0"), absl::ZeroDuration());
  EXPECT_EQ(DurationFromText("8760h"), kDurationMax);
}

TEST(QuantitiesTest, WhatIsNoDurationOrTooLongIsNone) {
  for (const char* text : {"", "-1", "-1s", "nan", "inf", "0x10", "soon", "8761h", "1e300", "1..2", ".", "5 s"}) {
    EXPECT_FALSE(DurationFromText(text).has_value()) << text;
  }
}

TEST(QuantitiesTest, WhatIsFormattedIsReadBackAsTheSame) {
  for (const int64_t bytes : {int64_t{0}, int64_t{1}, int64_t{1023}, int64_t{1024}, int64_t{8190}, int64_t{3} << 30,
                              std::numeric_limits<int64_t>::max()}) {
    EXPECT_EQ(BytesFromText(BytesText(bytes)), bytes) << BytesText(bytes);
  }
  for (const absl::Duration duration :
       {absl::ZeroDuration(), absl::Nanoseconds(1), absl::Microseconds(1500), absl::Milliseconds(90500),
        absl::Hours(8000) + absl::Nanoseconds(1), absl::Seconds(90), kDurationMax}) {
    EXPECT_EQ(DurationFromText(DurationText(duration)), duration) << DurationText(duration);
  }
  EXPECT_EQ(BytesText(262144), "256KiB");
  EXPECT_EQ(DurationText(absl::Seconds(90)), "90s");
  EXPECT_EQ(DurationText(absl::Milliseconds(1500)), "1.5s");
  EXPECT_EQ(DurationText(absl::Nanoseconds(-1'000'000'001)), "-1.000000001s");
  EXPECT_EQ(DurationText(absl::Microseconds(1200)), "1200us");
}

TEST(QuantitiesTest, ProtosOutOfTheirRangeAreInfinite) {
  google::protobuf::Duration proto = ToProto(absl::Milliseconds(1500));
  EXPECT_EQ(proto.seconds(), 1);
  EXPECT_EQ(proto.nanos(), 500'000'000);
  EXPECT_EQ(FromProto(proto), absl::Milliseconds(1500));
  proto.set_seconds(std::numeric_limits<int64_t>::max());
  EXPECT_EQ(FromProto(proto), absl::InfiniteDuration());
  proto.set_seconds(std::numeric_limits<int64_t>::min());
  EXPECT_EQ(FromProto(proto), -absl::InfiniteDuration());
}

}  // namespace
}  // namespace greenring::control
