#include "tools/greenctl/human.h"

#include <gtest/gtest.h>

namespace greenring::greenctl {
namespace {

TEST(HumanDurationTest, ShowsTheTwoUnitsThatMatter) {
  EXPECT_EQ(HumanDuration(absl::Microseconds(412)), "412us");
  EXPECT_EQ(HumanDuration(absl::Microseconds(7450)), "7.4ms");
  EXPECT_EQ(HumanDuration(absl::Milliseconds(85)), "85ms");
  EXPECT_EQ(HumanDuration(absl::Milliseconds(7450)), "7.4s");
  EXPECT_EQ(HumanDuration(absl::Seconds(7)), "7s");
  EXPECT_EQ(HumanDuration(absl::Seconds(59)), "59s");
  EXPECT_EQ(HumanDuration(absl::Minutes(3) + absl::Seconds(12)), "3m12s");
  EXPECT_EQ(HumanDuration(absl::Hours(5) + absl::Minutes(7)), "5h07m");
  EXPECT_EQ(HumanDuration(absl::Hours(12 * 24 + 4)), "12d04h");
}

TEST(HumanDurationTest, NeverRoundsUpToTheNextUnit) {
  EXPECT_EQ(HumanDuration(absl::Milliseconds(59'999)), "59s");
  EXPECT_EQ(HumanDuration(absl::Milliseconds(9'999)), "9.9s");
  EXPECT_EQ(HumanDuration(absl::Microseconds(999'999)), "999ms");
}

TEST(HumanDurationTest, ANegativeAgeIsZero) { EXPECT_EQ(HumanDuration(absl::Seconds(-3)), "0s"); }

TEST(HumanBytesTest, CountsInPowersOf1024) {
  EXPECT_EQ(HumanBytes(0), "0B");
  EXPECT_EQ(HumanBytes(512), "512B");
  EXPECT_EQ(HumanBytes(65536), "64KiB");
  EXPECT_EQ(HumanBytes(1572864), "1.5MiB");
  EXPECT_EQ(HumanBytes(int64_t{12} << 30), "12GiB");
}

TEST(HumanCountTest, CountsInPowersOf1000) {
  EXPECT_EQ(HumanCount(950), "950");
  EXPECT_EQ(HumanCount(0.34), "0.3");
  EXPECT_EQ(HumanCount(12345), "12k");
  EXPECT_EQ(HumanCount(4.04e6), "4.0M");
}

TEST(HumanPercentTest, HasADigitBehindThePointBelowTen) {
  EXPECT_EQ(HumanPercent(0), "0%");
  EXPECT_EQ(HumanPercent(0.44), "0.4%");
  EXPECT_EQ(HumanPercent(37.2), "37%");
  EXPECT_EQ(HumanPercent(9.98), "10%");
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
