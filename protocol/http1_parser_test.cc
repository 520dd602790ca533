#include "protocol/http1_parser.h"

#include <gtest/gtest.h>

#include <string>

namespace greenring::protocol {
namespace {

using Kind = ParseResult::Kind;

struct Parsed {
  std::string bytes;  // what the views of `head` point into
  ParseResult result;
  RequestHead head;
};

Parsed Parse(std::string bytes, const Limits& limits = {}) {
  Parsed parsed{.bytes = std::move(bytes), .result = {}, .head = {}};
  parsed.result = ParseRequestHead(parsed.bytes, limits, &parsed.head);
  return parsed;
}

// Parses a head that must be right.
void Accept(std::string_view bytes, Parsed* parsed, const Limits& limits = {}) {
  parsed->bytes = bytes;
  parsed->result = ParseRequestHead(parsed->bytes, limits, &parsed->head);
  ASSERT_EQ(parsed->result.kind, Kind::kComplete) << parsed->result.reason;
}

std::string StatusAndReason(const std::string& bytes, const Limits& limits = {}) {
  const ParseResult result = Parse(bytes, limits).result;
  if (result.kind != Kind::kError) return result.kind == Kind::kComplete ? "complete" : "incomplete";
  return std::to_string(result.status) + " " + result.reason;
}

std::string Get(const std::string& headers) { return "GET / HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n"; }

TEST(ParseRequestHead, SplitsRequestLineAndHeaders) {
  Parsed p;
  ASSERT_NO_FATAL_FAILURE(
      Accept("POST /a%20b/c?d=e?f HTTP/1.1\r\nHost: example.com:80\r\nX-Y: \t v w\t \r\nX-Y:\r\n\r\nbody", &p));
  EXPECT_EQ(p.result.head_bytes, p.bytes.size() - 4);
  EXPECT_EQ(p.head.method, "POST");
  EXPECT_EQ(p.head.target, "/a%20b/c?d=e?f");
  EXPECT_EQ(p.head.path, "/a%20b/c");
  EXPECT_EQ(p.head.query, "d=e?f");
  EXPECT_EQ(p.head.authority, "");
  EXPECT_EQ(p.head.host, "example.com:80");
  EXPECT_EQ(p.head.version, HttpVersion::kHttp11);
  EXPECT_EQ(p.head.framing, BodyFraming::kNone);
  EXPECT_EQ(p.head.content_length, 0);
  EXPECT_TRUE(p.head.keep_alive);
  EXPECT_FALSE(p.head.expect_continue);
  ASSERT_EQ(p.head.headers.size(), 3u);
  EXPECT_EQ(p.head.headers[0].name, "Host");
  EXPECT_EQ(p.head.headers[1].name, "X-Y");
  EXPECT_EQ(p.head.headers[1].value, "v w");
  EXPECT_EQ(p.head.headers[2].value, "");
}

TEST(ParseRequestHead, ViewsPointIntoTheCallersBytes) {
  Parsed p;
  ASSERT_NO_FATAL_FAILURE(Accept(Get("X: y\r\n"), &p));
  EXPECT_EQ(p.head.method.data(), p.bytes.data());
  EXPECT_EQ(p.head.headers[1].value.data(), p.bytes.data() + p.bytes.find('y'));
}

TEST(ParseRequestHead, ReusedHeadKeepsNothingButItsCapacity) {
  RequestHead head;
  const std::string first =
      "POST http://b/?q HTTP/1.0\r\nHost: a\r\nX: y\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n";
  ASSERT_EQ(ParseRequestHead(first, {}, &head).kind, Kind::kComplete);
  const size_t capacity = head.headers.capacity();
  const std::string second = "GET / HTTP/1.0\r\n\r\n";
  ASSERT_EQ(ParseRequestHead(second, {}, &head).kind, Kind::kComplete);
  EXPECT_EQ(head.headers.size(), 0u);
  EXPECT_EQ(head.headers.capacity(), capacity);
  EXPECT_EQ(head.query, "");
  EXPECT_EQ(head.authority, "");
  EXPECT_EQ(head.host, "");
  EXPECT_FALSE(head.keep_alive);
  EXPECT_EQ(head.framing, BodyFraming::kNone);
  EXPECT_EQ(head.content_length, 0);
}

TEST(ParseRequestHead, EveryProperPrefixIsIncomplete) {
  const std::string bytes = "\r\nPOST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(StatusAndReason(bytes.substr(0, size)), "incomplete") << size;
  }
  EXPECT_EQ(Parse(bytes + "GET").result.head_bytes, bytes.size());
}

TEST(ParseRequestHead, KeepAliveFollowsVersionAndConnection) {
  const auto keep_alive = [](const std::string& version, const std::string& connection) {
    Parsed p = Parse("GET / HTTP/" + version + "\r\nHost: a\r\n" + connection + "\r\n");
    EXPECT_EQ(p.result.kind, Kind::kComplete) << connection;
    return p.head.keep_alive;
  };
  EXPECT_TRUE(keep_alive("1.1", ""));
  EXPECT_TRUE(keep_alive("1.2", ""));
  EXPECT_FALSE(keep_alive("1.1", "Connection: close\r\n"));
  EXPECT_FALSE(keep_alive("1.1", "Connection: x , CLOSE,\r\n"));
  EXPECT_FALSE(keep_alive("1.1", "Connection: keep-alive\r\nConnection: close\r\n"));
  EXPECT_TRUE(keep_alive("1.1", "Connection: closed\r\n"));
  EXPECT_FALSE(keep_alive("1.0", ""));
  EXPECT_TRUE(keep_alive("1.0", "Connection: Keep-Alive\r\n"));
  EXPECT_FALSE(keep_alive("1.0", "Connection: keep-alive, close\r\n"));
}

TEST(ParseRequestHead, FramingFollowsTheHeaders) {
  Parsed p;
  ASSERT_NO_FATAL_FAILURE(Accept(Get("Content-Length: 000123\r\n"), &p));
  EXPECT_EQ(p.head.framing, BodyFraming::kLength);
  EXPECT_EQ(p.head.content_length, 123);
  ASSERT_NO_FATAL_FAILURE(Accept(Get("Content-Length: 999999999999999999\r\n"), &p));
  EXPECT_EQ(p.head.content_length, 999'999'999'999'999'999);
  ASSERT_NO_FATAL_FAILURE(Accept(Get("transfer-ENCODING: Chunked\r\n"), &p));
  EXPECT_EQ(p.head.framing, BodyFraming::kChunked);
  EXPECT_EQ(p.head.content_length, -1);
}

TEST(ParseRequestHead, ExpectContinueCountsOnlyWithABody) {
  EXPECT_TRUE(Parse(Get("Expect: 100-CONTINUE\r\nContent-Length: 5\r\n")).head.expect_continue);
  EXPECT_TRUE(Parse(Get("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n")).head.expect_continue);
  EXPECT_FALSE(Parse(Get("Expect: 100-continue\r\nContent-Length: 0\r\n")).head.expect_continue);
  EXPECT_FALSE(Parse(Get("Expect: 100-continue\r\n")).head.expect_continue);
  EXPECT_FALSE(Parse("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").head.expect_continue);
  EXPECT_EQ(StatusAndReason(Get("Expect: 200-ok\r\n")), "417 unknown expectation");
}

TEST(ParseRequestHead, AuthorityOfTheTargetReplacesHost) {
  Parsed p;
  ASSERT_NO_FATAL_FAILURE(Accept("GET hTTp://b:81?q=http://c/ HTTP/1.1\r\nHost: a\r\n\r\n", &p));
  EXPECT_EQ(p.head.authority, "b:81");
  EXPECT_EQ(p.head.host, "b:81");
  EXPECT_EQ(p.head.headers[0].value, "b:81");
  EXPECT_EQ(p.head.path, "/");
  EXPECT_EQ(p.head.query, "q=http://c/");
  ASSERT_NO_FATAL_FAILURE(Accept("GET https://b/c/d HTTP/1.0\r\n\r\n", &p));
  EXPECT_EQ(p.head.host, "b");
  EXPECT_EQ(p.head.path, "/c/d");
}

TEST(ParseRequestHead, AsteriskIsOnlyForOptions) {
  Parsed p;
  ASSERT_NO_FATAL_FAILURE(Accept("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", &p));
  EXPECT_EQ(p.head.path, "*");
  EXPECT_EQ(StatusAndReason("GET * HTTP/1.1\r\nHost: a\r\n\r\n"), "400 target '*' without OPTIONS");
}

TEST(ParseRequestHead, OtherProtocolsGetAClearAnswer) {
  EXPECT_EQ(StatusAndReason("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "505 only HTTP/1.0 and HTTP/1.1 are spoken here");
  EXPECT_EQ(StatusAndReason("GET /\r\n\r\n"), "400 no HTTP version in the request line");
  EXPECT_EQ(StatusAndReason("GET / HTTP/0.9\r\n\r\n"), "505 only HTTP/1.0 and HTTP/1.1 are spoken here");
  EXPECT_EQ(StatusAndReason("GET / HTTP/1.1.1\r\n\r\n"), "400 invalid HTTP version");
  EXPECT_EQ(StatusAndReason("CONNECT a:443 HTTP/1.1\r\n"), "501 CONNECT is not supported");
  EXPECT_EQ(StatusAndReason("\x16\x03\x01"), "400 invalid method");
}

TEST(ParseRequestHead, NamesWithUnderscoreFollowThePolicy) {
  const std::string bytes = Get("X_Real_IP: 1\r\nContent_Length: 7\r\nX-Real-IP: 2\r\n");
  Limits limits;
  Parsed p;
  ASSERT_NO_FATAL_FAILURE(Accept(bytes, &p, limits));
  ASSERT_EQ(p.head.headers.size(), 2u);
  EXPECT_EQ(p.head.headers[1].value, "2");
  limits.underscore_names = UnderscoreNames::kRefuse;
  EXPECT_EQ(StatusAndReason(bytes, limits), "400 '_' in a header name");
  limits.underscore_names = UnderscoreNames::kAllow;
  ASSERT_NO_FATAL_FAILURE(Accept(bytes, &p, limits));
  EXPECT_EQ(p.head.headers.size(), 4u);
  EXPECT_EQ(p.head.framing, BodyFraming::kNone);
}

TEST(ParseRequestHead, RequestLineLimitIsExact) {
  Limits limits;
  limits.request_line_bytes_max = 20;
  const std::string rest = "\r\nHost: a\r\n\r\n";
  EXPECT_EQ(StatusAndReason("GET /123456 HTTP/1.1" + rest, limits), "complete");
  EXPECT_EQ(StatusAndReason("GET /1234567 HTTP/1.1" + rest, limits), "414 request line too long");
  EXPECT_EQ(StatusAndReason("GET /123456789012345678", limits), "414 request line too long");
}

TEST(ParseRequestHead, MethodLimitIsExact) {
  Limits limits;
  limits.method_bytes_max = 4;
  EXPECT_EQ(StatusAndReason("POST / HTTP/1.1\r\nHost: a\r\n\r\n", limits), "complete");
  EXPECT_EQ(StatusAndReason("PATCH", limits), "501 method too long");
}

TEST(ParseRequestHead, HeaderLimitsAreExact) {
  Limits limits;
  limits.header_count_max = 3;
  limits.header_field_bytes_max = 12;
  EXPECT_EQ(StatusAndReason(Get("A: b\r\nC_: dropped\r\n"), limits), "complete");
  EXPECT_EQ(StatusAndReason(Get("A: b\r\nC_: dropped\r\nE: f\r\n"), limits), "431 too many header lines");
  EXPECT_EQ(StatusAndReason(Get("A: 123456789\r\n"), limits), "complete");
  EXPECT_EQ(StatusAndReason(Get("A: 1234567890\r\n"), limits), "431 header line too long");
  EXPECT_EQ(StatusAndReason(Get("ABCDEFGHIJKLMNO"), limits), "431 header line too long");
}

TEST(ParseRequestHead, HeadLimitIsExact) {
  const std::string bytes = Get("A: b\r\n");
  Limits limits;
  limits.head_bytes_max = static_cast<uint32_t>(bytes.size());
  EXPECT_EQ(StatusAndReason(bytes + "body", limits), "complete");
  --limits.head_bytes_max;
  EXPECT_EQ(StatusAndReason(bytes, limits), "431 request head too large");
}

TEST(ParseRequestHead, BodyLimitIsKnownBeforeTheBodyComes) {
  Limits limits;
  limits.body_bytes_max = 5;
  EXPECT_EQ(StatusAndReason(Get("Content-Length: 5\r\n"), limits), "complete");
  EXPECT_EQ(StatusAndReason(Get("Content-Length: 6\r\n"), limits), "413 request body too large");
}

TEST(ParseRequestHead, EveryByteIsJudgedInEachPlace) {
  for (int c = 0; c < 256; ++c) {
    const char byte = static_cast<char>(c);
    const bool is_control = (c < 0x20 && c != '\t') || c == 0x7f;
    const bool is_token =
        std::isalnum(c) != 0 ||
        (c < 0x80 && c != 0 && std::string_view("!#$%&'*+-.^_`|~").find(byte) != std::string_view::npos);
    // Each place is a word's length from both neighbours, so that both loops of the search see it.
    for (const char* after : {"", "01234567"}) {
      EXPECT_EQ(StatusAndReason(Get(std::string("X: a") + byte + "b" + after + "\r\n")) == "complete", !is_control)
          << c;
    }
    EXPECT_EQ(StatusAndReason(Get(std::string("X") + byte + "Y: a\r\n")) == "complete", is_token || c == ':') << c;
    EXPECT_EQ(StatusAndReason(std::string("G") + byte + "T / HTTP/1.0\r\n\r\n") == "complete", is_token) << c;
    const bool is_target = c > 0x20 && c < 0x7f && c != '#';
    EXPECT_EQ(StatusAndReason(std::string("GET /") + byte + " HTTP/1.0\r\n\r\n") == "complete", is_target) << c;
  }
}

}  // namespace
}  // namespace greenring::protocol
