#include "protocol/body_decoder.h"

#include <gtest/gtest.h>

#include <string>

namespace greenring::protocol {
namespace {

using State = BodyDecoder::State;

// What a body came to: its data, then how it ended and what was left.
std::string Decode(BodyFraming framing, int64_t length, std::string_view bytes, const Limits& limits = {}) {
  BodyDecoder decoder;
  decoder.Reset(framing, length, limits);
  std::string data;
  for (;;) {
    const BodyDecoder::Step step = decoder.Decode(bytes);
    bytes.remove_prefix(step.consumed);
    data += step.data;
    if (step.state == State::kNeedMore) return data + "|more";
    if (step.state == State::kError) return data + "|" + std::to_string(step.status) + " " + step.reason;
    if (step.state == State::kDone) return data + "|done|" + std::string(bytes);
  }
}

std::string Chunked(std::string_view bytes, const Limits& limits = {}) {
  return Decode(BodyFraming::kChunked, -1, bytes, limits);
}

TEST(BodyDecoder, WithoutABodyIsDoneAtOnce) {
  const Limits limits;
  BodyDecoder decoder;
  EXPECT_TRUE(decoder.done());
  decoder.Reset(BodyFraming::kNone, 0, limits);
  EXPECT_TRUE(decoder.done());
  decoder.Reset(BodyFraming::kLength, 0, limits);
  EXPECT_TRUE(decoder.done());
  EXPECT_EQ(decoder.Decode("GET").consumed, 0u);
}

TEST(BodyDecoder, LengthStopsWhereTheNextRequestStarts) {
  EXPECT_EQ(Decode(BodyFraming::kLength, 5, "hello"), "hello|done|");
  EXPECT_EQ(Decode(BodyFraming::kLength, 5, "helloGET"), "hello|done|GET");
  EXPECT_EQ(Decode(BodyFraming::kLength, 5, "hell"), "hell|more");
}

TEST(BodyDecoder, LengthIsDoneWithItsLastByte) {
  const Limits limits;
  BodyDecoder decoder;
  decoder.Reset(BodyFraming::kLength, 5, limits);
  EXPECT_EQ(decoder.remaining_hint(), 5);
  EXPECT_EQ(decoder.Decode("he").data, "he");
  EXPECT_EQ(decoder.remaining_hint(), 3);
  EXPECT_FALSE(decoder.done());
  EXPECT_EQ(decoder.Decode("llo").data, "llo");
  EXPECT_TRUE(decoder.done());
}

TEST(BodyDecoder, DataIsAViewIntoTheInput) {
  const Limits limits;
  const std::string_view bytes = "5\r\nhello\r\n";
  BodyDecoder decoder;
  decoder.Reset(BodyFraming::kChunked, -1, limits);
  const BodyDecoder::Step step = decoder.Decode(bytes);
  EXPECT_EQ(step.data.data(), bytes.data() + 3);
  EXPECT_EQ(step.consumed, 8u);
}

TEST(BodyDecoder, ChunksAreJoined) {
  EXPECT_EQ(Chunked("5\r\nhello\r\n006\r\n world\r\n0\r\n\r\nGET"), "hello world|done|GET");
  EXPECT_EQ(Chunked("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n"), "01234567890123456789|done|");
  EXPECT_EQ(Chunked("5\r\nhello\r\n0\r\n"), "hello|more");
}

TEST(BodyDecoder, AnySplitGivesTheSameData) {
  const std::string bytes = "5 ;a=\"\\\"b\" ; c\r\nhello\r\n1\r\n!\r\n0;z\r\nX-Y: z\r\n\r\n";
  for (size_t split = 0; split <= bytes.size(); ++split) {
    const Limits limits;
    BodyDecoder decoder;
    decoder.Reset(BodyFraming::kChunked, -1, limits);
    std::string data;
    for (std::string_view piece : {std::string_view(bytes).substr(0, split), std::string_view(bytes).substr(split)}) {
      while (!piece.empty() && !decoder.done()) {
        const BodyDecoder::Step step = decoder.Decode(piece);
        ASSERT_NE(step.state, State::kError) << step.reason;
        data += step.data;
        piece.remove_prefix(step.consumed);
      }
    }
    EXPECT_TRUE(decoder.done()) << split;
    EXPECT_EQ(data, "hello!") << split;
  }
}

TEST(BodyDecoder, ExtensionsFollowTheGrammarAndAreDropped) {
  const auto chunk_with = [](const std::string& extension) { return Chunked("1" + extension + "\r\nx\r\n0\r\n\r\n"); };
  for (const char* extension :
       {";a", ";a=b", " ; a = b;c", "\t;a;b;c=d", ";a=\"\"", ";a=\"b\\\"\\\\;\xe9\"", ";a=\"b c\" ;d"}) {
    EXPECT_EQ(chunk_with(extension), "x|done|") << extension;
  }
  for (const char* extension : {";", ";=", ";a=", ";a= ", ";a ", ";a b", ";a=b ", ";a=b c", ";a=\"b\"c", ";a=\"b", " ",
                                " a", ";a=\"\x01\"", ";a=\"\\\x01\"", ";(", ";a=("}) {
    EXPECT_EQ(chunk_with(extension), "|400 invalid chunk extension") << extension;
  }
}

TEST(BodyDecoder, ExtensionLimitIsExactAndPerChunk) {
  Limits limits;
  limits.chunk_extension_bytes_max = 4;
  EXPECT_EQ(Chunked("1;a=b\r\nx\r\n1;a=b\r\ny\r\n0;a=b\r\n\r\n", limits), "xy|done|");
  EXPECT_EQ(Chunked("1;a=bc\r\nx\r\n", limits), "|400 chunk extensions too long");
}

TEST(BodyDecoder, BodyLimitCountsAllChunks) {
  Limits limits;
  limits.body_bytes_max = 5;
  EXPECT_EQ(Chunked("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", limits), "abcde|done|");
  EXPECT_EQ(Chunked("3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n", limits), "abc|413 request body too large");
  EXPECT_EQ(Chunked("fffffffffffffff\r\n", limits), "|413 request body too large");
  EXPECT_EQ(Decode(BodyFraming::kLength, 6, "", limits), "|413 request body too large");
}

TEST(BodyDecoder, TrailersAreCheckedAndDropped) {
  EXPECT_EQ(Chunked("0\r\nX-Sum: abc\r\nY:\r\n\r\nGET"), "|done|GET");
  EXPECT_EQ(Chunked("0\r\ncOnTeNt-LENGTH: 5\r\n\r\n"), "|400 forbidden trailer");
  EXPECT_EQ(Chunked("0\r\nhost: a\r\n\r\n"), "|400 forbidden trailer");
  EXPECT_EQ(Chunked("0\r\nHosts: a\r\n\r\n"), "|done|");
  EXPECT_EQ(Chunked("0\r\n X: a\r\n\r\n"), "|400 invalid byte in a trailer name");
}

TEST(BodyDecoder, TrailerLimitsAreExact) {
  Limits limits;
  limits.trailer_count_max = 2;
  limits.trailer_bytes_max = 12;
  EXPECT_EQ(Chunked("0\r\nA: b\r\nC: d\r\n\r\n", limits), "|done|");
  EXPECT_EQ(Chunked("0\r\nA: b\r\nC: de\r\n\r\n", limits), "|431 trailer section too large");
  EXPECT_EQ(Chunked("0\r\nA:\r\nC:\r\nE:\r\n\r\n", limits), "|431 too many trailers");
}

TEST(BodyDecoder, AnErrorStays) {
  const Limits limits;
  BodyDecoder decoder;
  decoder.Reset(BodyFraming::kChunked, -1, limits);
  const char* reason = decoder.Decode("x").reason;
  const BodyDecoder::Step again = decoder.Decode("5\r\nhello\r\n");
  EXPECT_EQ(again.state, State::kError);
  EXPECT_EQ(again.status, 400);
  EXPECT_EQ(again.reason, reason);
  EXPECT_EQ(again.consumed, 0u);
}

}  // namespace
}  // namespace greenring::protocol
