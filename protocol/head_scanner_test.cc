#include "protocol/head_scanner.h"

#include <gtest/gtest.h>

#include <string>

namespace greenring::protocol {
namespace {

using Kind = ParseResult::Kind;

constexpr std::string_view kHead = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

// Scans after each byte; tells what it said and after how many.
std::string ScanByteByByte(std::string_view bytes, const Limits& limits = {}) {
  HeadScanner scanner;
  for (size_t size = 1; size <= bytes.size(); ++size) {
    const ParseResult result = scanner.Scan(bytes.substr(0, size), limits);
    if (result.kind == Kind::kComplete) return "complete at " + std::to_string(result.head_bytes);
    if (result.kind == Kind::kError)
      return std::to_string(result.status) + " " + result.reason + " at " + std::to_string(size);
  }
  return "incomplete";
}

TEST(HeadScanner, FindsTheEndHoweverTheHeadIsSplit) {
  const std::string bytes = std::string(kHead) + "GET";
  EXPECT_EQ(ScanByteByByte(bytes), "complete at " + std::to_string(kHead.size()));
  for (size_t split = 0; split < kHead.size(); ++split) {
    HeadScanner scanner;
    ASSERT_EQ(scanner.Scan(kHead.substr(0, split), {}).kind, Kind::kIncomplete);
    const ParseResult result = scanner.Scan(bytes, {});
    ASSERT_EQ(result.kind, Kind::kComplete);
    EXPECT_EQ(result.head_bytes, kHead.size());
  }
}

TEST(HeadScanner, AllowsOneLeadingCrlf) {
  EXPECT_EQ(ScanByteByByte("\r\n" + std::string(kHead)), "complete at 29");
  EXPECT_EQ(ScanByteByByte("\r\n\r\n" + std::string(kHead)), "400 empty lines before the request line at 4");
}

TEST(HeadScanner, ResetStartsANewHead) {
  HeadScanner scanner;
  EXPECT_EQ(scanner.Scan(kHead, {}).kind, Kind::kComplete);
  scanner.Reset();
  EXPECT_EQ(scanner.Scan(kHead.substr(0, 5), {}).kind, Kind::kIncomplete);
  EXPECT_EQ(scanner.Scan(kHead, {}).kind, Kind::kComplete);
}

TEST(HeadScanner, RefusesABadByteAsSoonAsItIsThere) {
  EXPECT_EQ(ScanByteByByte("GET / HTTP/1.1\nHost"), "400 bare LF at 15");
  EXPECT_EQ(ScanByteByByte("GET / HTTP/1.1\rHost"), "400 bare CR at 16");
  EXPECT_EQ(ScanByteByByte(std::string("GET /\0 HTTP/1.1", 15)), "400 control byte in the request head at 6");
}

TEST(HeadScanner, RefusesAsSoonAsALimitIsPassed) {
  Limits limits;
  limits.request_line_bytes_max = 16;
  limits.header_field_bytes_max = 8;
  limits.header_count_max = 2;
  limits.head_bytes_max = 64;
  EXPECT_EQ(ScanByteByByte("GET /1234567890 HTTP/1.1", limits), "414 request line too long at 17");
  const std::string line = "GET / HTTP/1.1\r\n";
  EXPECT_EQ(ScanByteByByte(line + "ABCDEFGH\r\n\r\n", limits), "complete at 28");
  EXPECT_EQ(ScanByteByByte(line + "ABCDEFGHI\r\n", limits), "431 header line too long at 25");
  EXPECT_EQ(ScanByteByByte(line + "A:1\r\nB:2\r\n\r\n", limits), "complete at 28");
  EXPECT_EQ(ScanByteByByte(line + "A:1\r\nB:2\r\nC:3\r\n", limits), "431 too many header lines at 27");
  limits.head_bytes_max = 27;
  EXPECT_EQ(ScanByteByByte(line + "A:1\r\nB:2\r\n\r\n", limits), "431 request head too large at 28");
}

}  // namespace
}  // namespace greenring::protocol
