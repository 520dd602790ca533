#include "protocol/uwsgi_parser.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <utility>

namespace greenring::protocol {
namespace {

using Kind = ParseResult::Kind;
using Pairs = std::initializer_list<std::pair<std::string, std::string>>;

std::string Sized(const std::string& text) {
  return {static_cast<char>(text.size() & 0xff), static_cast<char>(text.size() >> 8)};
}

std::string Packet(Pairs variables, uint8_t modifier1 = 0) {
  std::string body;
  for (const auto& [name, value] : variables) body += Sized(name) + name + Sized(value) + value;
  return static_cast<char>(modifier1) + Sized(body) + '\0' + body;
}

class UwsgiParser : public ::testing::Test {
 protected:
  // "complete", "incomplete", or the status.
  std::string Parse(Pairs variables, const Limits& limits = {}) { return ParseBytes(Packet(variables), limits); }

  std::string ParseBytes(const std::string& bytes, const Limits& limits = {}) {
    bytes_ = bytes;
    const ParseResult result = ParseUwsgiHead(bytes_, limits, &head_);
    head_bytes_ = result.head_bytes;
    if (result.kind == Kind::kError) return std::to_string(result.status);
    return result.kind == Kind::kComplete ? "complete" : "incomplete";
  }

  // "NAME=value,...".
  std::string Variables() const {
    std::string text;
    for (const Variable& variable : head_.variables) {
      text.append(text.empty() ? "" : ",").append(variable.name).append("=").append(variable.value);
    }
    return text;
  }

  std::string bytes_;
  RequestHead head_;
  size_t head_bytes_ = 0;
};

TEST_F(UwsgiParser, TakesTheRequestFromItsVariables) {
  ASSERT_EQ(Parse({{"REQUEST_METHOD", "POST"},
                   {"REQUEST_URI", "/a%62?q=1"},
                   {"PATH_INFO", "/ab"},
                   {"QUERY_STRING", "q=1"},
                   {"SERVER_PROTOCOL", "HTTP/1.0"},
                   {"CONTENT_LENGTH", "7"},
                   {"REMOTE_ADDR", "192.0.2.1"},
                   {"HTTP_HOST", "shop:81"}}),
            "complete");
  EXPECT_EQ(head_bytes_, bytes_.size());
  EXPECT_EQ(head_.method, "POST");
  EXPECT_EQ(head_.target, "/a%62?q=1");
  EXPECT_EQ(head_.path, "/ab");
  EXPECT_TRUE(head_.path_decoded);
  EXPECT_EQ(head_.query, "q=1");
  EXPECT_EQ(head_.version, HttpVersion::kHttp10);
  EXPECT_EQ(head_.framing, BodyFraming::kLength);
  EXPECT_EQ(head_.content_length, 7);
  EXPECT_EQ(head_.remote_addr, "192.0.2.1");
  EXPECT_EQ(head_.host, "shop:81");
  EXPECT_EQ(head_.variables.size(), 8u);
  EXPECT_FALSE(head_.keep_alive);
}

TEST_F(UwsgiParser, ThePathIsTheOneThatTheWebServerHasChecked) {
  ASSERT_EQ(Parse({{"REQUEST_METHOD", "GET"}, {"REQUEST_URI", "/admin/../a"}, {"PATH_INFO", "/a"}}), "complete");
  EXPECT_EQ(head_.path, "/a");
  ASSERT_EQ(Parse({{"REQUEST_METHOD", "GET"}, {"REQUEST_URI", "/a%20b?c"}}), "complete");
  EXPECT_EQ(head_.path, "/a%20b");
  EXPECT_FALSE(head_.path_decoded);
}

TEST_F(UwsgiParser, AHostIsTheHeadersOrElseTheServers) {
  ASSERT_EQ(Parse({{"REQUEST_METHOD", "GET"}, {"HTTP_HOST", "a"}, {"SERVER_NAME", "b"}}), "complete");
  EXPECT_EQ(head_.host, "a");
  ASSERT_EQ(Parse({{"REQUEST_METHOD", "GET"}, {"SERVER_NAME", "b"}}), "complete");
  EXPECT_EQ(head_.host, "b");
}

TEST_F(UwsgiParser, NothingThatLoadsCodeOrSpeaksForTheServerGetsThrough) {
  ASSERT_EQ(Parse({{"REQUEST_METHOD", "GET"},
                   {"UWSGI_FILE", "/tmp/x.py"},
                   {"UWSGI_MODULE", "os"},
                   {"wsgi.input", "x"},
                   {"greenring.request_id", "x"},
                   {"uwsgi.version", "x"},
                   {"x-wsgiorg.fdevent.readable", "x"},
                   {"A.b-C", "d"}}),
            "complete");
  EXPECT_EQ(Variables(), "REQUEST_METHOD=GET,A.b-C=d");
}

TEST_F(UwsgiParser, TheSchemeIsSaidInTwoWays) {
  ASSERT_EQ(Parse({{"REQUEST_METHOD", "GET"}, {"UWSGI_SCHEME", "wss"}, {"HTTPS", "on"}}), "complete");
  EXPECT_EQ(head_.scheme, "wss");
  for (const char* on : {"on", "ON", "1"}) {
    ASSERT_EQ(Parse({{"REQUEST_METHOD", "GET"}, {"HTTPS", on}}), "complete");
    EXPECT_EQ(head_.scheme, "https") << on;
  }
  ASSERT_EQ(Parse({{"REQUEST_METHOD", "GET"}, {"HTTPS", "off"}}), "complete");
  EXPECT_EQ(head_.scheme, "");
}

TEST_F(UwsgiParser, ABodyHasALengthOrChunksOrIsNotThere) {
  ASSERT_EQ(Parse({{"REQUEST_METHOD", "GET"}, {"CONTENT_LENGTH", ""}}), "complete");
  EXPECT_EQ(head_.framing, BodyFraming::kNone);
  ASSERT_EQ(Parse({{"REQUEST_METHOD", "GET"}, {"CONTENT_LENGTH", ""}, {"HTTP_TRANSFER_ENCODING", "Chunked"}}),
            "complete");
  EXPECT_EQ(head_.framing, BodyFraming::kChunked);
  EXPECT_EQ(head_.content_length, -1);
  EXPECT_EQ(FindHeader(head_, "transfer-encoding"), "Chunked");
}

TEST_F(UwsgiParser, WhatTheWebServerHasDecodedIsNotCalledEncoded) {
  ASSERT_EQ(Parse({{"REQUEST_METHOD", "POST"}, {"HTTP_TRANSFER_ENCODING", "chunked"}, {"CONTENT_LENGTH", "3"}}),
            "complete");
  EXPECT_EQ(head_.framing, BodyFraming::kLength);
  EXPECT_EQ(Variables(), "REQUEST_METHOD=POST,CONTENT_LENGTH=3");
}

TEST_F(UwsgiParser, TheLastOfANameCountsButLengthsMustAgree) {
  ASSERT_EQ(Parse({{"REQUEST_METHOD", "GET"}, {"REQUEST_METHOD", "PUT"}, {"PATH_INFO", "/a"}, {"PATH_INFO", "/b"}}),
            "complete");
  EXPECT_EQ(head_.method, "PUT");
  EXPECT_EQ(head_.path, "/b");
  EXPECT_EQ(Parse({{"REQUEST_METHOD", "PUT"}, {"CONTENT_LENGTH", "5"}, {"CONTENT_LENGTH", "5"}}), "complete");
  EXPECT_EQ(Parse({{"REQUEST_METHOD", "PUT"}, {"CONTENT_LENGTH", "5"}, {"CONTENT_LENGTH", "6"}}), "400");
  EXPECT_EQ(Parse({{"REQUEST_METHOD", "PUT"}, {"CONTENT_LENGTH", ""}, {"CONTENT_LENGTH", "6"}}), "400");
}

TEST_F(UwsgiParser, ACertificateHasLinesAndAHeaderHasNot) {
  EXPECT_EQ(Parse({{"REQUEST_METHOD", "GET"}, {"SSL_CLIENT_CERT", "a\nb\r\nc"}}), "complete");
  EXPECT_EQ(Parse({{"REQUEST_METHOD", "GET"}, {"HTTP_X", "a\nb"}}), "400");
  EXPECT_EQ(Parse({{"REQUEST_METHOD", "GET"}, {"HTTP_X", "a\tb"}}), "complete");
  EXPECT_EQ(Parse({{"REQUEST_METHOD", "GET"}, {"QUERY_STRING", "a\nb"}}), "400");
  EXPECT_EQ(Parse({{"REQUEST_METHOD", "GET"}, {"REMOTE_USER", "a\nb"}}), "400");
}

TEST_F(UwsgiParser, LimitsAreThoseOfHttp) {
  const Limits tight{.request_line_bytes_max = 5,
                     .header_count_max = 1,
                     .header_field_bytes_max = 10,
                     .head_bytes_max = 100,
                     .body_bytes_max = 3};
  EXPECT_EQ(Parse({{"REQUEST_METHOD", "GET"}, {"REQUEST_URI", "/1234"}, {"HTTP_A", "1234"}}, tight), "complete");
  EXPECT_EQ(Parse({{"REQUEST_METHOD", "GET"}, {"REQUEST_URI", "/12345"}}, tight), "414");
  EXPECT_EQ(Parse({{"REQUEST_METHOD", "GET"}, {"HTTP_A", "12345"}}, tight), "431");
  EXPECT_EQ(Parse({{"REQUEST_METHOD", "GET"}, {"HTTP_A", ""}, {"HTTP_B", ""}}, tight), "431");
  EXPECT_EQ(Parse({{"REQUEST_METHOD", "GET"}, {"CONTENT_LENGTH", "4"}}, tight), "413");
  EXPECT_EQ(Parse({{"REQUEST_METHOD", "GET"}, {"A", std::string(100, 'a')}}, tight), "431");
  EXPECT_EQ(Parse({{"REQUEST_METHOD", std::string(33, 'A')}}), "501");
}

TEST_F(UwsgiParser, WhatIsNoPacketForWsgiIsRefusedAtItsFirstByte) {
  EXPECT_EQ(ParseBytes("G"), "400");
  EXPECT_EQ(ParseBytes("\x1e"), "400");
  EXPECT_EQ(ParseBytes(std::string(1, '\0')), "incomplete");
  EXPECT_EQ(ParseBytes(""), "incomplete");
}

TEST_F(UwsgiParser, APingIsFourBytes) {
  ASSERT_EQ(ParseBytes(Packet({}, kUwsgiModifierPing)), "complete");
  EXPECT_TRUE(head_.is_ping);
  EXPECT_EQ(head_bytes_, 4u);
  EXPECT_EQ(ParseBytes(Packet({{"A", "b"}}, kUwsgiModifierPing)), "400");
  EXPECT_EQ(kUwsgiPong.size(), 4u);
}

TEST_F(UwsgiParser, WhatFollowsThePacketIsTheBodys) {
  const std::string packet = Packet({{"REQUEST_METHOD", "GET"}});
  ASSERT_EQ(ParseBytes(packet + "body"), "complete");
  EXPECT_EQ(head_bytes_, packet.size());
  EXPECT_EQ(ParseBytes(packet.substr(0, packet.size() - 1)), "incomplete");
}

}  // namespace
}  // namespace greenring::protocol
