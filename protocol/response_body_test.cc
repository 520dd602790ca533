#include "protocol/response_body.h"

#include <gtest/gtest.h>

#include <string>

namespace greenring::protocol {
namespace {

using Kind = ResponseBody::Kind;

TEST(ResponseBody, ExcessOverTheLengthIsCutAndCounted) {
  ResponseBody body(Kind::kLength, 5, /*keep_alive=*/true);
  EXPECT_EQ(body.Admit(3), 3u);
  EXPECT_EQ(body.missing_bytes(), 2);
  EXPECT_EQ(body.Admit(4), 2u);
  EXPECT_EQ(body.Admit(1), 0u);
  body.Finish();
  EXPECT_EQ(body.excess_bytes(), 3);
  EXPECT_EQ(body.missing_bytes(), 0);
  EXPECT_TRUE(body.keep_alive());
}

TEST(ResponseBody, MissingBytesEndTheConnection) {
  ResponseBody body(Kind::kLength, 5, /*keep_alive=*/true);
  EXPECT_EQ(body.Admit(4), 4u);
  body.Finish();
  EXPECT_EQ(body.missing_bytes(), 1);
  EXPECT_FALSE(body.keep_alive());
}

TEST(ResponseBody, NoneAdmitsNothingAndBlamesNobody) {
  ResponseBody body(Kind::kNone, 12, /*keep_alive=*/true);
  EXPECT_EQ(body.Admit(12), 0u);
  body.Finish();
  EXPECT_EQ(body.excess_bytes(), 0);
  EXPECT_EQ(body.missing_bytes(), 0);
  EXPECT_TRUE(body.keep_alive());
}

TEST(ResponseBody, UnboundedFramingsAdmitEverything) {
  ResponseBody chunked(Kind::kChunked, -1, /*keep_alive=*/true);
  EXPECT_TRUE(chunked.chunked());
  EXPECT_EQ(chunked.Admit(1 << 30), size_t{1} << 30);
  chunked.Finish();
  EXPECT_TRUE(chunked.keep_alive());
  ResponseBody until_close(Kind::kUntilClose, -1, /*keep_alive=*/false);
  EXPECT_EQ(until_close.Admit(7), 7u);
}

TEST(EncodeChunkStart, WritesHexAndCrlf) {
  const auto encode = [](size_t size) {
    char out[kChunkStartBytesMax];
    return std::string(out, EncodeChunkStart(size, out));
  };
  EXPECT_EQ(encode(1), "1\r\n");
  EXPECT_EQ(encode(0x1a2b), "1a2b\r\n");
  EXPECT_EQ(encode(SIZE_MAX), "ffffffffffffffff\r\n");
}

}  // namespace
}  // namespace greenring::protocol
