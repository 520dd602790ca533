#include "worker/http_service.h"

#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "worker/http_service_fixture.h"

namespace greenring::worker {
namespace {

TEST_F(HttpServiceTest, AnswersAndKeepsTheConnection) {
  Start();
  const int peer = Connect();
  EXPECT_TRUE(Contains(Exchanged(peer, "GET /one HTTP/1.1\r\nHost: h\r\n\r\n"), "\r\n\r\n/one"));
  EXPECT_TRUE(Contains(Exchanged(peer, "GET /two HTTP/1.1\r\nHost: h\r\n\r\n"), "\r\n\r\n/two"));
  EXPECT_FALSE(ring_.PeerSeesEnd(peer));
  ring_.PeerClose(peer);
}

TEST_F(HttpServiceTest, ClosesWhenTheClientWantsIt) {
  Start();
  const int peer = Connect();
  const std::string response = Exchanged(peer, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(Contains(response, "Connection: close\r\n"));
  EXPECT_TRUE(ring_.PeerSeesEnd(peer));
  ring_.PeerClose(peer);
}

TEST_F(HttpServiceTest, HeadThatComesByteByByteIsServed) {
  Start();
  const int peer = Connect();
  std::string response;
  for (char c : std::string_view("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")) response += Exchanged(peer, {&c, 1});
  EXPECT_TRUE(Contains(response, "\r\n\r\n/slow"));
  ring_.PeerClose(peer);
}

TEST_F(HttpServiceTest, PipelinedRequestsAreAnsweredInOrder) {
  Start();
  const int peer = Connect();
  std::string requests;
  for (int i = 0; i < 100; ++i) requests += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: h\r\n\r\n";
  const std::string responses = Exchanged(peer, requests);
  size_t position = 0;
  for (int i = 0; i < 100; ++i) {
    const size_t found = responses.find("\r\n\r\n/" + std::to_string(i), position);
    ASSERT_NE(found, std::string::npos) << i;
    position = found + 1;
  }
  ring_.PeerClose(peer);
}

TEST_F(HttpServiceTest, RequestThatFollowsABodyInTheSamePieceIsServed) {
  Start();
  app_ = [](HttpExchange* exchange) { Reply(exchange, "<" + ReadAll(exchange) + ">"); };
  const int peer = Connect();
  const std::string responses = Exchanged(peer,
                                          "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
                                          "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                                          "2\r\nde\r\n1\r\nf\r\n0\r\n\r\n"
                                          "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(Contains(responses, "<abc>"));
  EXPECT_TRUE(Contains(responses, "<def>"));
  EXPECT_TRUE(Contains(responses, "<>"));
  ring_.PeerClose(peer);
}

TEST_F(HttpServiceTest, SlowBodyParksItsCoreAndOthersAreServed) {
  Start();
  app_ = [](HttpExchange* exchange) { Reply(exchange, "<" + ReadAll(exchange) + ">"); };
  const int slow = Connect(), quick = Connect();
  EXPECT_EQ(Exchanged(slow, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\na"), "");
  EXPECT_EQ(cores_->busy_count(), 1u);
  EXPECT_TRUE(Contains(Exchanged(quick, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"), "<>"));
  EXPECT_EQ(Exchanged(slow, "bc"), "");
  EXPECT_TRUE(Contains(Exchanged(slow, "d"), "<abcd>"));
  EXPECT_EQ(cores_->busy_count(), 0u);
  EXPECT_EQ(cores_->live_count(), 2u);
  ring_.PeerClose(slow);
  ring_.PeerClose(quick);
}

TEST_F(HttpServiceTest, IdleAndHalfReadConnectionsHoldNoCore) {
  Start();
  std::vector<int> peers;
  for (int i = 0; i < 50; ++i) peers.push_back(Connect());
  for (int i = 0; i < 25; ++i) ring_.PeerWrite(peers[i], "GET / HTTP/1.1\r\nHos");
  Run();
  EXPECT_EQ(cores_->live_count(), 0u);
  EXPECT_EQ(service_->connection_count(), 50u);
  for (int peer : peers) ring_.PeerClose(peer);
}

TEST_F(HttpServiceTest, OneCoreServesABurstOfRequestsThatDoNotPark) {
  Start();
  std::vector<int> peers;
  for (int i = 0; i < 30; ++i) {
    peers.push_back(Connect());
    ring_.PeerWrite(peers.back(), "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  }
  Run();
  EXPECT_EQ(cores_->live_count(), 1u);
  for (int peer : peers) {
    EXPECT_TRUE(Contains(ring_.PeerRead(peer), "200 OK"));
    ring_.PeerClose(peer);
  }
}

// Touches `size` bytes of stack.
__attribute__((noinline)) void UseStack(size_t size) {
  volatile char* memory = static_cast<volatile char*>(__builtin_alloca(size));
  for (size_t i = 0; i < size; i += 64) memory[i] = 1;
}

TEST_F(HttpServiceTest, IdleCoreGivesDeepStackPagesBack) {
  Start();
  green::Stack stack;
  size_t used_bytes = 0;
  app_ = [&](HttpExchange* exchange) {
    UseStack(150 * 1024);
    stack = scheduler_->current()->stack();
    used_bytes = green::StackSlab::WatermarkBytes(stack);
    Reply(exchange, "deep");
  };
  const int peer = Connect();
  EXPECT_TRUE(Contains(Exchanged(peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"), "deep"));
  EXPECT_GT(used_bytes, 150u * 1024);
  EXPECT_LE(green::StackSlab::WatermarkBytes(stack), green::StackSlab::kTrimKeepBytes);
  ring_.PeerClose(peer);
}

TEST_F(HttpServiceTest, BeyondCoresAndQueueTheAnswerIs503WithRetryAfter) {
  Start({.cores_max = 1, .queue_depth_max = 1});
  app_ = [](HttpExchange* exchange) { Reply(exchange, "<" + ReadAll(exchange) + ">"); };
  const int busy = Connect(), queued = Connect(), refused = Connect();
  EXPECT_EQ(Exchanged(busy, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n"), "");
  EXPECT_EQ(Exchanged(queued, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"), "");
  const std::string response = Exchanged(refused, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(Contains(response, "HTTP/1.1 503 "));
  EXPECT_TRUE(Contains(response, "Retry-After: 1\r\n"));
  EXPECT_TRUE(ring_.PeerSeesEnd(refused));
  EXPECT_TRUE(Contains(Exchanged(busy, "x"), "<x>"));
  EXPECT_TRUE(Contains(ring_.PeerRead(queued), "<>"));
  for (int peer : {busy, queued, refused}) ring_.PeerClose(peer);
}

TEST_F(HttpServiceTest, ContinueIsSentOnlyWhenTheBodyIsRead) {
  Start();
  app_ = [](HttpExchange* exchange) {
    Reply(exchange, exchange->head().target == "/read" ? "<" + ReadAll(exchange) + ">" : "unread");
  };
  const int reader = Connect(), other = Connect();
  const std::string head = " HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
  EXPECT_EQ(Exchanged(reader, "POST /read" + head), "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_TRUE(Contains(Exchanged(reader, "ok"), "<ok>"));
  const std::string response = Exchanged(other, "POST /other" + head);
  EXPECT_FALSE(Contains(response, "100 Continue"));
  EXPECT_TRUE(Contains(response, "Connection: close\r\n")) << "the body may or may not follow";
  for (int peer : {reader, other}) ring_.PeerClose(peer);
}

TEST_F(HttpServiceTest, UnreadBodyIsSkippedAndTheConnectionKept) {
  Start();
  const int peer = Connect();
  EXPECT_TRUE(Contains(Exchanged(peer, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc"), "/a"));
  EXPECT_TRUE(Contains(Exchanged(peer, "defGET /b HTTP/1.1\r\nHost: h\r\n\r\n"), "/b"));
  ring_.PeerClose(peer);
}

TEST_F(HttpServiceTest, LargeUnreadBodyClosesTheConnection) {
  Start();
  const int peer = Connect();
  const std::string response = Exchanged(peer, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\nabc");
  EXPECT_TRUE(Contains(response, "Connection: close\r\n"));
  EXPECT_TRUE(ring_.PeerSeesEnd(peer));
  ring_.PeerClose(peer);
}

TEST_F(HttpServiceTest, BrokenChunkIsAnswered400WhateverTheApplicationDoes) {
  Start();
  std::string read;
  app_ = [&](HttpExchange* exchange) {
    read = ReadAll(exchange);
    Reply(exchange, "too late");
  };
  const int peer = Connect();
  const std::string response =
      Exchanged(peer, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nab\r\n");
  EXPECT_TRUE(Contains(read, "error: ")) << read;
  EXPECT_TRUE(Contains(response, "HTTP/1.1 400 "));
  EXPECT_FALSE(Contains(response, "too late"));
  EXPECT_TRUE(ring_.PeerSeesEnd(peer));
  ring_.PeerClose(peer);
}

TEST_F(HttpServiceTest, MalformedHeadIsAnswered400AndClosed) {
  Start();
  const int peer = Connect();
  EXPECT_TRUE(Contains(Exchanged(peer, "GET / HTTP/1.1\r\nHost : h\r\n\r\n"), "HTTP/1.1 400 "));
  EXPECT_TRUE(ring_.PeerSeesEnd(peer));
  ring_.PeerClose(peer);
}

TEST_F(HttpServiceTest, ClientThatVanishesWithinItsBodyEndsTheRead) {
  Start();
  std::string read;
  app_ = [&](HttpExchange* exchange) {
    read = ReadAll(exchange);
    Reply(exchange, "x");
  };
  const int closed = Connect(), reset = Connect();
  EXPECT_EQ(Exchanged(closed, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\na"), "");
  ring_.PeerClose(closed);
  Run();
  EXPECT_TRUE(Contains(read, "error: ")) << read;
  read.clear();
  EXPECT_EQ(Exchanged(reset, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\na"), "");
  ring_.PeerReset(reset);
  Run();
  EXPECT_TRUE(Contains(read, "error: ")) << read;
  EXPECT_EQ(service_->connection_count(), 0u);
  ring_.PeerClose(reset);
}

TEST_F(HttpServiceTest, HalfClosedClientStillGetsItsAnswer) {
  Start();
  const int peer = Connect();
  ring_.PeerWrite(peer, "GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n");
  ring_.PeerShutdown(peer);
  Run();
  const std::string responses = ring_.PeerRead(peer);
  EXPECT_TRUE(Contains(responses, "/a"));
  EXPECT_TRUE(Contains(responses, "/b"));
  EXPECT_TRUE(ring_.PeerSeesEnd(peer));
  ring_.PeerClose(peer);
}

TEST_F(HttpServiceTest, SlowReaderParksTheCoreUntilItReads) {
  Start();
  const std::string body(1'000'000, 'x');
  app_ = [&](HttpExchange* exchange) { Reply(exchange, body); };
  const int peer = Connect();
  std::string response = Exchanged(peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_LT(response.size(), body.size());
  EXPECT_EQ(cores_->busy_count(), 1u);
  for (int i = 0; i < 100 && cores_->busy_count() > 0; ++i) {
    Run();
    response += ring_.PeerRead(peer);
  }
  Run();
  response += ring_.PeerRead(peer);
  EXPECT_EQ(Count(response, "x"), body.size());
  ring_.PeerClose(peer);
}

TEST_F(HttpServiceTest, ClientWithoutProgressIsCutOffAfterTheIoTimeout) {
  HttpServiceOptions options;
  options.io_timeout_ns = 5 * kSecond;
  Start({}, options);
  std::string read;
  app_ = [&](HttpExchange* exchange) { read = ReadAll(exchange); };
  const int peer = Connect();
  EXPECT_EQ(Exchanged(peer, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\na"), "");
  Run(4 * kSecond);
  EXPECT_EQ(read, "");
  ring_.PeerWrite(peer, "b");  // progress: the time starts anew
  Run(4 * kSecond);
  EXPECT_EQ(read, "");
  Run(2 * kSecond);
  EXPECT_TRUE(Contains(read, "error: ")) << read;
  EXPECT_EQ(service_->connection_count(), 0u);
  ring_.PeerClose(peer);
}

TEST_F(HttpServiceTest, ClientThatDoesNotTakeTheLastResponseIsCutOffToo) {
  HttpServiceOptions options;
  options.io_timeout_ns = 5 * kSecond;
  Start({}, options);
  app_ = [&](HttpExchange* exchange) { Reply(exchange, std::string(15'000, 'x')); };
  const int peer = Connect();
  std::string requests;  // more answers than the socket holds, but too few to park a core
  for (int i = 0; i < 7; ++i) requests += "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
  ring_.PeerWrite(peer, requests + "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  Run(4 * kSecond);
  EXPECT_EQ(service_->connection_count(), 1u);
  Run(2 * kSecond);
  EXPECT_EQ(service_->connection_count(), 0u);
  ring_.PeerClose(peer);
}

TEST_F(HttpServiceTest, IdleConnectionIsClosedAfterTheKeepaliveTimeout) {
  HttpServiceOptions options;
  options.keepalive_timeout_ns = 10 * kSecond;
  Start({}, options);
  const int peer = Connect();
  Exchanged(peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  Run(9 * kSecond);
  EXPECT_FALSE(ring_.PeerSeesEnd(peer));
  Run(2 * kSecond);
  EXPECT_TRUE(ring_.PeerSeesEnd(peer));
  ring_.PeerClose(peer);
}

TEST_F(HttpServiceTest, HeadThatDoesNotArriveIsAnswered408EvenIfItTrickles) {
  HttpServiceOptions options;
  options.header_timeout_ns = 10 * kSecond;
  Start({}, options);
  const int peer = Connect();
  std::string response = Exchanged(peer, "GET / HTTP/1.1\r\n");
  for (int i = 0; i < 12; ++i) response += Exchanged(peer, "a", kSecond);
  EXPECT_TRUE(Contains(response, "HTTP/1.1 408 ")) << response;
  EXPECT_TRUE(ring_.PeerSeesEnd(peer));
  ring_.PeerClose(peer);
}

TEST_F(HttpServiceTest, DrainFinishesWhatIsInFlightAndClosesWhatIsIdle) {
  Start();
  app_ = [](HttpExchange* exchange) { Reply(exchange, "<" + ReadAll(exchange) + ">"); };
  const int busy = Connect(), idle = Connect(), late = Connect();
  Exchanged(idle, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(Exchanged(busy, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n"), "");
  service_->Drain();
  Run(100 * kMs);
  EXPECT_FALSE(ring_.PeerSeesEnd(late));
  const std::string answer = Exchanged(late, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(Contains(answer, "200 OK")) << "a request on its way when the drain began was lost";
  EXPECT_TRUE(Contains(answer, "Connection: close\r\n"));
  Run(kSecond);
  EXPECT_TRUE(ring_.PeerSeesEnd(idle));
  EXPECT_FALSE(drained_);
  EXPECT_TRUE(Contains(Exchanged(busy, "z"), "<z>"));
  EXPECT_TRUE(ring_.PeerSeesEnd(busy));
  for (int peer : {busy, idle, late}) ring_.PeerClose(peer);
}

TEST_F(HttpServiceTest, AbortAllCutsRequestsShortAndCountsThem) {
  Start();
  std::string read;
  app_ = [&](HttpExchange* exchange) { read = ReadAll(exchange); };
  const int busy = Connect(), idle = Connect();
  EXPECT_EQ(Exchanged(busy, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n"), "");
  EXPECT_EQ(service_->AbortAll(), 1u);
  Run();
  EXPECT_TRUE(Contains(read, "error: ")) << read;
  EXPECT_EQ(service_->connection_count(), 0u);
  for (int peer : {busy, idle}) ring_.PeerClose(peer);
}

TEST_F(HttpServiceTest, ApplicationThatSendsNothingGetsItsConnectionClosed) {
  Start();
  app_ = [](HttpExchange* exchange) { exchange->Abort(); };
  const int peer = Connect();
  EXPECT_EQ(Exchanged(peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"), "");
  EXPECT_TRUE(ring_.PeerSeesEnd(peer));
  ring_.PeerClose(peer);
}

TEST_F(HttpServiceTest, FloodOfPipelinedInputStopsTheReading) {
  Start();
  bool released = false;
  app_ = [&](HttpExchange* exchange) {
    while (!released) scheduler_->Park(clock_.NowNs() + kMs);
    Reply(exchange, "at last");
  };
  const int slow = Connect();
  EXPECT_EQ(Exchanged(slow, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"), "");
  // While the first request waits, what the server takes of the flood must be bounded.
  size_t taken_unserved = 0;
  for (int i = 0; i < 200; ++i) {
    taken_unserved += ring_.PeerWrite(slow, std::string(10'000, 'x'));
    Run();
  }
  EXPECT_LT(taken_unserved, 1'000'000u);
  released = true;
  Run(10 * kMs);
  const std::string responses = ring_.PeerRead(slow);
  EXPECT_TRUE(Contains(responses, "at last"));
  EXPECT_TRUE(Contains(responses, "HTTP/1.1 501 ")) << "no method is that long: " << responses;
  ring_.PeerClose(slow);
}

TEST_F(HttpServiceTest, ThousandsOfPipelinedRequestsAreAllAnswered) {
  Start();
  const int slow = Connect();
  const std::string request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
  std::string responses;
  for (int i = 0; i < 2000; ++i) {
    const size_t taken = ring_.PeerWrite(slow, request);
    if (taken < request.size()) {
      ring_.PeerWrite(slow, std::string_view(request).substr(taken));
      Run();
      responses += ring_.PeerRead(slow);
    }
  }
  for (int i = 0; i < 50; ++i) {
    Run();
    responses += ring_.PeerRead(slow);
  }
  EXPECT_EQ(Count(responses, "200 OK"), 2000u);
  ring_.PeerClose(slow);
}

}  // namespace
}  // namespace greenring::worker
