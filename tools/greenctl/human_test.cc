#include "tools/greenctl/human.h"

#include <gtest/gtest.h>

namespace greenring::greenctl {
namespace {

TEST(FormatDurationTest, ShowsTheTwoUnitsThatMatter) {
  EXPECT_EQ(FormatDuration(absl::Microseconds(412)), "412us");
  EXPECT_EQ(FormatDuration(absl::Microseconds(7450)), "7.4ms");
  EXPECT_EQ(FormatDuration(absl::Milliseconds(85)), "85ms");
  EXPECT_EQ(FormatDuration(absl::Milliseconds(7450)), "7.4s");
  EXPECT_EQ(FormatDuration(absl::Seconds(7)), "7s");
  EXPECT_EQ(FormatDuration(absl::Seconds(59)), "59s");
  EXPECT_EQ(FormatDuration(absl::Minutes(3) + absl::Seconds(12)), "3m12s");
  EXPECT_EQ(FormatDuration(absl::Hours(5) + absl::Minutes(7)), "5h07m");
  EXPECT_EQ(FormatDuration(absl::Hours(12 * 24 + 4)), "12d04h");
}

TEST(FormatDurationTest, NeverRoundsUpToTheNextUnit) {
  EXPECT_EQ(FormatDuration(absl::Milliseconds(59'999)), "59s");
  EXPECT_EQ(FormatDuration(absl::Milliseconds(9'999)), "9.9s");
  EXPECT_EQ(FormatDuration(absl::Microseconds(999'999)), "999ms");
}

TEST(FormatDurationTest, ANegativeAgeIsZero) { EXPECT_EQ(FormatDuration(absl::Seconds(-3)), "0s"); }

TEST(FormatBytesTest, CountsInPowersOf1024) {
  EXPECT_EQ(FormatBytes(0), "0B");
  EXPECT_EQ(FormatBytes(512), "512B");
  EXPECT_EQ(FormatBytes(65536), "64KiB");
  EXPECT_EQ(FormatBytes(1572864), "1.5MiB");
  EXPECT_EQ(FormatBytes(int64_t{12} << 30), "12GiB");
}

TEST(FormatCountTest, CountsInPowersOf1000) {
  EXPECT_EQ(FormatCount(950), "950");
  EXPECT_EQ(FormatCount(0.34), "0.3");
  EXPECT_EQ(FormatCount(12345), "12k");
  EXPECT_EQ(FormatCount(4.04e6), "4.0M");
}

TEST(FormatPercentTest, HasADigitBehindThePointBelowTen) {
  EXPECT_EQ(FormatPercent(0), "0%");
  EXPECT_EQ(FormatPercent(0.44), "0.4%");
  EXPECT_EQ(FormatPercent(37.2), "37%");
  EXPECT_EQ(FormatPercent(9.98), "10%");
}

TEST(ProtoDurationTest, SurvivesTheWayThereAndBack) {
  const absl::Duration duration = absl::Seconds(90) + absl::Milliseconds(250);
  EXPECT_EQ(ToDuration(ToProto(duration)), duration);
}

TEST(PrintableTest, ShowsWhatATerminalWouldObey) {
  EXPECT_EQ(Printable("/a\x1b[2Jb"), "/a\\x1b[2Jb");
  EXPECT_EQ(Printable("a\nb"), "a\\x0ab");
  EXPECT_EQ(Printable("a\nb\tc", /*lines=*/true), "a\nb\tc");
  EXPECT_EQ(Printable("\xc2\x9b"), "\\xc2\\x9b");           // CSI as one character
  EXPECT_EQ(Printable("\xe2\x80\xae"), "\\xe2\\x80\\xae");  // right-to-left override
}

TEST(PrintableTest, KeepsTextAndShowsBytesThatAreNone) {
  EXPECT_EQ(Printable("/käse/日本"), "/käse/日本");
  EXPECT_EQ(Printable("\xff\xc3"), "\\xff\\xc3");
}

TEST(TruncateTest, CutsBetweenCharacters) {
  EXPECT_EQ(Truncate("abcdef", 6), "abcdef");
  EXPECT_EQ(Truncate("abcdef", 4), "abc…");
  EXPECT_EQ(Truncate("äöüß", 3), "äö…");
  EXPECT_EQ(Truncate("abc", 0), "");
}

}  // namespace
}  // namespace greenring::greenctl
