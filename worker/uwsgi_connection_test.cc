// Connections of a listener for the uwsgi protocol.
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "gtest/gtest.h"
#include "protocol/response_encoder.h"
#include "protocol/uwsgi_parser.h"
#include "protocol/wire_protocol.h"
#include "worker/http_service.h"
#include "worker/http_service_fixture.h"

namespace greenring::worker {
namespace {

using Pairs = std::initializer_list<std::pair<std::string_view, std::string_view>>;

std::string Sized(std::string_view text) {
  return std::string{static_cast<char>(text.size() & 0xff), static_cast<char>(text.size() >> 8)}.append(text);
}

// A request's packet; a GET where `variables` do not say otherwise.
std::string Packet(Pairs variables = {}) {
  std::string text = Sized("REQUEST_METHOD") + Sized("GET");
  for (const auto& [name, value] : variables) text += Sized(name) + Sized(value);
  const std::string size = Sized(text).substr(0, 2);
  return std::string(1, '\0') + size + std::string(1, '\0') + text;
}

class UwsgiConnectionTest : public HttpServiceTest {
 protected:
  UwsgiConnectionTest() { listener_.protocol = protocol::WireProtocol::kUwsgi; }

  // What `request` is answered with on a connection of its own, which has to be closed then.
  std::string Answer(std::string_view request) {
    const int peer = Connect();
    const std::string answer = Exchanged(peer, request);
    EXPECT_TRUE(ring_.PeerSeesEnd(peer));
    ring_.PeerClose(peer);
    return answer;
  }
};

TEST_F(UwsgiConnectionTest, AnswersWithTheApplicationsHeadersAloneAndCloses) {
  Start();
  EXPECT_EQ(Answer(Packet({{"REQUEST_URI", "/a"}})), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/a");
}

TEST_F(UwsgiConnectionTest, APacketThatComesByteByByteIsServed) {
  Start();
  const int peer = Connect();
  std::string answer;
  for (const char c : Packet({{"REQUEST_URI", "/slow"}})) answer += Exchanged(peer, {&c, 1});
  EXPECT_TRUE(Contains(answer, "\r\n\r\n/slow"));
  EXPECT_TRUE(ring_.PeerSeesEnd(peer));
  ring_.PeerClose(peer);
}

TEST_F(UwsgiConnectionTest, ABodyOfUnknownLengthEndsWithTheConnection) {
  Start();
  app_ = [](HttpExchange* exchange) {
    protocol::ResponseEncoder head;
    ASSERT_EQ(head.SetStatus("200 OK"), nullptr);
    exchange->SendHead(head, -1).IgnoreError();
    exchange->SendBody("one,").IgnoreError();
    exchange->SendBody("two").IgnoreError();
    exchange->Finish().IgnoreError();
  };
  EXPECT_EQ(Answer(Packet()), "HTTP/1.1 200 OK\r\n\r\none,two");
}

TEST_F(UwsgiConnectionTest, HeadHasNoBody) {
  Start();
  EXPECT_EQ(Answer(Packet({{"REQUEST_METHOD", "HEAD"}, {"REQUEST_URI", "/a"}})), "HTTP/1.1 200 OK\r\n\r\n");
}

TEST_F(UwsgiConnectionTest, BodiesAreReadByLengthOrChunks) {
  Start();
  app_ = [](HttpExchange* exchange) { Reply(exchange, "<" + ReadAll(exchange) + ">"); };
  EXPECT_TRUE(Contains(Answer(Packet({{"CONTENT_LENGTH", "3"}}) + "abcd"), "<abc>"));
  EXPECT_TRUE(Contains(Answer(Packet({{"CONTENT_LENGTH", ""}})), "<>"));
  EXPECT_TRUE(
      Contains(Answer(Packet({{"HTTP_TRANSFER_ENCODING", "chunked"}}) + "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"), "<abc>"));
}

TEST_F(UwsgiConnectionTest, ASecondRequestOnTheConnectionIsNoRequest) {
  Start();
  int requests = 0;
  app_ = [&requests](HttpExchange* exchange) {
    ++requests;
    Reply(exchange, "once");
  };
  EXPECT_EQ(Count(Answer(Packet() + Packet()), "once"), 1u);
  EXPECT_EQ(requests, 1);
}

TEST_F(UwsgiConnectionTest, WhatIsMalformedIsToldSoAsHttp) {
  Start();
  const std::string answer = Answer("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(Contains(answer, "HTTP/1.1 400 Bad Request\r\n"));
  EXPECT_TRUE(Contains(answer, "modifier1 is not 0"));
  EXPECT_FALSE(Contains(answer, "Connection:"));
  EXPECT_TRUE(Contains(Answer(Packet({{"", "x"}})), "HTTP/1.1 400 "));
  EXPECT_EQ(cores_->live_count(), 0u);
}

TEST_F(UwsgiConnectionTest, ATruncatedPacketHasTheTimeOfAHead) {
  HttpServiceOptions options;
  options.header_timeout_ns = 2 * kSecond;
  Start({}, options);
  const int peer = Connect();
  EXPECT_EQ(Exchanged(peer, Packet().substr(0, 6), kSecond), "");
  EXPECT_FALSE(ring_.PeerSeesEnd(peer));
  EXPECT_TRUE(Contains(Exchanged(peer, "", 2 * kSecond), "HTTP/1.1 408 "));
  EXPECT_TRUE(ring_.PeerSeesEnd(peer));
  ring_.PeerClose(peer);
}

TEST_F(UwsgiConnectionTest, APingIsAnsweredByTheLoop) {
  Start();
  EXPECT_EQ(Answer(std::string("\x64\0\0\0", 4)), protocol::kUwsgiPong);
  EXPECT_EQ(cores_->live_count(), 0u);
  EXPECT_EQ(service_->statistics().requests(), 0u);
}

TEST_F(UwsgiConnectionTest, ProbesAreAnsweredByTheLoop) {
  HttpServiceOptions options;
  options.probes.liveness = "/livez";
  Start({}, options);
  EXPECT_TRUE(Contains(Answer(Packet({{"PATH_INFO", "/livez"}})), "200 OK: the loop turns"));
  EXPECT_EQ(cores_->live_count(), 0u);
}

TEST_F(UwsgiConnectionTest, NobodyWaitsFor100Continue) {
  Start();
  app_ = [](HttpExchange* exchange) { Reply(exchange, ReadAll(exchange)); };
  const int peer = Connect();
  EXPECT_EQ(Exchanged(peer, Packet({{"CONTENT_LENGTH", "1"}, {"HTTP_EXPECT", "100-continue"}})), "");
  EXPECT_TRUE(Contains(Exchanged(peer, "x"), "200 OK"));
  ring_.PeerClose(peer);
}

}  // namespace
}  // namespace greenring::worker
