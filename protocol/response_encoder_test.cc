#include "protocol/response_encoder.h"

#include <gtest/gtest.h>

#include <string>

namespace greenring::protocol {
namespace {

using Kind = ResponseBody::Kind;

constexpr std::string_view kDate = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
constexpr ResponseRequest kHttp11{.version = HttpVersion::kHttp11, .is_head = false, .keep_alive = true};
constexpr ResponseRequest kHttp10{.version = HttpVersion::kHttp10, .is_head = false, .keep_alive = true};
constexpr ResponseRequest kHeadRequest{.version = HttpVersion::kHttp11, .is_head = true, .keep_alive = true};

class ResponseEncoderTest : public testing::Test {
 protected:
  void Start(std::string_view status) { ASSERT_EQ(encoder_.SetStatus(status), nullptr); }
  void Add(std::string_view name, std::string_view value) { ASSERT_EQ(encoder_.AddHeader(name, value), nullptr); }

  // What stands between the status line and the empty line, without Server and Date.
  std::string Encode(const ResponseRequest& request, int64_t body_bytes = -1) {
    std::string out(encoder_.head_bytes_max(), '\0');
    out.resize(encoder_.EncodeHead(request, body_bytes, kDate, out.data(), &body_));
    EXPECT_LE(out.size(), encoder_.head_bytes_max());
    for (std::string_view line : {std::string_view("Server: greenring\r\n"), kDate}) {
      const size_t at = out.find(line);
      if (at != out.npos) out.erase(at, line.size());
    }
    EXPECT_TRUE(out.ends_with("\r\n\r\n"));
    const size_t status_end = out.find("\r\n") + 2;
    return out.substr(status_end, out.size() - 2 - status_end);
  }

  ResponseEncoder encoder_;
  ResponseBody body_;
};

TEST_F(ResponseEncoderTest, WritesTheWholeHead) {
  Start("200 OK");
  Add("Content-Type", "text/plain");
  std::string out(encoder_.head_bytes_max(), '\0');
  out.resize(encoder_.EncodeHead(kHttp11, 12, kDate, out.data(), &body_));
  EXPECT_EQ(out,
            "HTTP/1.1 200 OK\r\n"
            "Content-Type: text/plain\r\n"
            "Server: greenring\r\n"
            "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
            "Content-Length: 12\r\n"
            "\r\n");
  EXPECT_EQ(body_.kind(), Kind::kLength);
  EXPECT_TRUE(body_.keep_alive());
}

TEST_F(ResponseEncoderTest, ApplicationsServerAndDateStay) {
  Start("200 OK");
  Add("server", "mine");
  Add("DATE", "today");
  std::string out(encoder_.head_bytes_max(), '\0');
  out.resize(encoder_.EncodeHead(kHttp11, 0, kDate, out.data(), &body_));
  EXPECT_EQ(out, "HTTP/1.1 200 OK\r\nserver: mine\r\nDATE: today\r\nContent-Length: 0\r\n\r\n");
}

TEST_F(ResponseEncoderTest, UnknownLengthIsChunkedOrEndsWithTheConnection) {
  Start("200 OK");
  EXPECT_EQ(Encode(kHttp11), "Transfer-Encoding: chunked\r\n");
  EXPECT_EQ(body_.kind(), Kind::kChunked);
  EXPECT_TRUE(body_.keep_alive());
  EXPECT_EQ(Encode(kHttp10), "Connection: close\r\n");
  EXPECT_EQ(body_.kind(), Kind::kUntilClose);
  EXPECT_FALSE(body_.keep_alive());
}

TEST_F(ResponseEncoderTest, ConnectionIsSaidWhereItIsNotTheDefault) {
  Start("200 OK");
  EXPECT_EQ(Encode(kHttp10, 3), "Content-Length: 3\r\nConnection: keep-alive\r\n");
  EXPECT_TRUE(body_.keep_alive());
  EXPECT_EQ(Encode({.version = HttpVersion::kHttp11, .is_head = false, .keep_alive = false}, 3),
            "Content-Length: 3\r\nConnection: close\r\n");
  EXPECT_FALSE(body_.keep_alive());
}

TEST_F(ResponseEncoderTest, ApplicationsLengthComesBeforeTheCountedOne) {
  Start("200 OK");
  Add("content-length", " 7 ");
  EXPECT_EQ(encoder_.content_length(), 7);
  EXPECT_EQ(Encode(kHttp11, 12), "Content-Length: 7\r\n");
  EXPECT_EQ(body_.missing_bytes(), 7);
}

TEST_F(ResponseEncoderTest, HeadRequestGetsNoBodyAndNoGuessedLength) {
  Start("200 OK");
  EXPECT_EQ(Encode(kHeadRequest, 0), "");
  EXPECT_EQ(body_.kind(), Kind::kNone);
  EXPECT_TRUE(body_.keep_alive());
  Add("Content-Length", "12");
  EXPECT_EQ(Encode(kHeadRequest, 0), "Content-Length: 12\r\n");
}

TEST_F(ResponseEncoderTest, NoContentAndNotModifiedHaveNoBody) {
  Start("204 No Content");
  Add("Content-Length", "0");
  EXPECT_EQ(Encode(kHttp11, 0), "");
  EXPECT_EQ(body_.kind(), Kind::kNone);
  Start("304 Not Modified");
  EXPECT_EQ(Encode(kHttp11), "");
  EXPECT_EQ(body_.kind(), Kind::kNone);
  Add("Content-Length", "12");
  EXPECT_EQ(Encode(kHttp10), "Content-Length: 12\r\nConnection: keep-alive\r\n");
}

TEST_F(ResponseEncoderTest, SetStatusDropsWhatWasThere) {
  Start("200 OK");
  Add("Content-Length", "12");
  Add("Server", "mine");
  Start("500 Oops");
  EXPECT_EQ(encoder_.status_code(), 500);
  EXPECT_EQ(encoder_.content_length(), -1);
  EXPECT_EQ(Encode(kHttp11, 3), "Content-Length: 3\r\n");
  encoder_.Clear();
  EXPECT_FALSE(encoder_.has_status());
}

TEST_F(ResponseEncoderTest, BadStatusIsRefused) {
  for (const char* status :
       {"", "200", "2000 OK", "20 OK", "abc OK", "-20 OK", "100 Continue", "101 Switching Protocols", "200\tOK",
        "200 O\rK", "200 O\nK", "200 OK\r\nX: y", "200 \x7f"}) {
    EXPECT_NE(encoder_.SetStatus(status), nullptr) << status;
    EXPECT_FALSE(encoder_.has_status());
  }
  EXPECT_EQ(encoder_.SetStatus("200 "), nullptr);
  EXPECT_EQ(encoder_.SetStatus("999 caf\xe9"), nullptr);
}

TEST_F(ResponseEncoderTest, HeaderThatWouldSplitTheResponseIsRefused) {
  Start("200 OK");
  for (std::string_view value :
       {std::string_view("\r\nX: y"), std::string_view("a\r"), std::string_view("a\nb"), std::string_view("a\0b", 3),
        std::string_view("\x01"), std::string_view("a long value \x7f"), std::string_view("12345678\n"),
        std::string_view("1234\n")}) {
    EXPECT_NE(encoder_.AddHeader("X", value), nullptr) << value;
  }
  for (std::string_view name : {"", "X Y", "X:", "X\r\nY", "X\n", "caf\xe9", " X", "X "}) {
    EXPECT_NE(encoder_.AddHeader(name, "y"), nullptr) << name;
  }
  EXPECT_EQ(Encode(kHttp11, 0), "Content-Length: 0\r\n");
}

TEST_F(ResponseEncoderTest, EveryByteOfAValueIsJudged) {
  for (int c = 0; c < 256; ++c) {
    const bool is_control = (c < 0x20 && c != '\t') || c == 0x7f;
    for (size_t size = 1; size < 20; ++size) {
      for (size_t at = 0; at < size; ++at) {
        std::string value(size, 'a');
        value[at] = static_cast<char>(c);
        Start("200 OK");
        ASSERT_EQ(encoder_.AddHeader("X", value) == nullptr, !is_control) << c << " at " << at << " of " << size;
      }
    }
  }
}

TEST_F(ResponseEncoderTest, HopByHopHeadersAreRefused) {
  Start("200 OK");
  for (const char* name : {"Connection", "keep-alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
                           "TE", "Trailer", "Trailers", "TRANSFER-ENCODING", "Upgrade"}) {
    EXPECT_NE(encoder_.AddHeader(name, "x"), nullptr) << name;
    EXPECT_TRUE(IsHopByHop(name));
  }
  EXPECT_FALSE(IsHopByHop("Content-Type"));
  EXPECT_FALSE(IsHopByHop("Connections"));
}

TEST_F(ResponseEncoderTest, BadContentLengthIsRefused) {
  Start("200 OK");
  for (const char* value : {"", "-1", "+1", "1 2", "1,1", "0x1", "1234567890123456789", "one"}) {
    EXPECT_NE(encoder_.AddHeader("Content-Length", value), nullptr) << value;
  }
  Add("Content-Length", "999999999999999999");
  EXPECT_NE(encoder_.AddHeader("Content-Length", "5"), nullptr);
  EXPECT_EQ(Encode(kHttp11), "Content-Length: 999999999999999999\r\n");
}

TEST_F(ResponseEncoderTest, RefusedContentLengthLeavesNoTrace) {
  Start("200 OK");
  EXPECT_NE(encoder_.AddHeader("Content-Length", "x"), nullptr);
  EXPECT_EQ(encoder_.content_length(), -1);
  Add("Content-Length", "5");
}

TEST_F(ResponseEncoderTest, HeadersAreBounded) {
  Start("200 OK");
  const std::string value(60'000, 'a');
  for (int i = 0; i < 4; ++i) Add("X", value);
  EXPECT_NE(encoder_.AddHeader("X", value), nullptr);
  EXPECT_EQ(Encode(kHttp11, 0).size(), 4 * (value.size() + 5) + 19);
}

TEST_F(ResponseEncoderTest, TheLongestLinesOfTheServerFit) {
  Start("200 OK");
  EXPECT_EQ(Encode(kHttp10, INT64_MAX), "Content-Length: 9223372036854775807\r\nConnection: keep-alive\r\n");
}

}  // namespace
}  // namespace greenring::protocol
