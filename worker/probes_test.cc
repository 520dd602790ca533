#include "worker/probes.h"

#include <string>

#include "gtest/gtest.h"
#include "worker/http_service.h"
#include "worker/http_service_fixture.h"

namespace greenring::worker {
namespace {

std::string Get(const std::string& target, const std::string& more = "") {
  return "GET " + target + " HTTP/1.1\r\nHost: h\r\n" + more + "\r\n";
}

class ProbesTest : public HttpServiceTest {
 protected:
  void StartProbed(CoreSettings cores = {}) {
    HttpServiceOptions options;
    options.probes = {.liveness = "/livez", .readiness = "/readyz"};
    Start(cores, options);
  }
  uint64_t probes() const { return service_->statistics().probes(); }
};

TEST_F(ProbesTest, AreAnsweredWithoutACoreAndKeepTheConnection) {
  StartProbed();
  const int peer = Connect();
  EXPECT_TRUE(Contains(Exchanged(peer, Get("/livez")), "HTTP/1.1 200 OK\r\n"));
  EXPECT_TRUE(Contains(Exchanged(peer, Get("/readyz?full")), "200 OK: requests are served\n"));
  EXPECT_EQ(cores_->live_count(), 0u);
  EXPECT_EQ(probes(), 2u);
  EXPECT_EQ(service_->statistics().requests(), 0u);
  EXPECT_TRUE(Contains(Exchanged(peer, Get("/other")), "\r\n\r\n/other")) << "the connection serves requests, too";
  ring_.PeerClose(peer);
}

TEST_F(ProbesTest, HeadHasNoBody) {
  StartProbed();
  const int peer = Connect();
  const std::string response = Exchanged(peer, "HEAD /livez HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(Contains(response, "200 OK\r\n"));
  EXPECT_TRUE(response.ends_with("\r\n\r\n"));
  ring_.PeerClose(peer);
}

TEST_F(ProbesTest, OtherMethodsAndPathsAreTheApplications) {
  StartProbed();
  const int peer = Connect();
  EXPECT_TRUE(
      Contains(Exchanged(peer, "POST /livez HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"), "\r\n\r\n/livez"));
  EXPECT_TRUE(Contains(Exchanged(peer, Get("/livez/")), "\r\n\r\n/livez/"));
  EXPECT_EQ(probes(), 0u);
  ring_.PeerClose(peer);
}

TEST_F(ProbesTest, WithoutPathsThereAreNone) {
  Start();
  const int peer = Connect();
  EXPECT_TRUE(Contains(Exchanged(peer, Get("/livez")), "\r\n\r\n/livez"));
  ring_.PeerClose(peer);
}

TEST_F(ProbesTest, AFullQueueIsNotReadyAndLives) {
  StartProbed({.cores_max = 1, .queue_depth_max = 1});
  app_ = [this](HttpExchange* exchange) {
    scheduler_->Park(clock_.NowNs() + kSecond);
    Reply(exchange, "done");
  };
  const int first = Connect(), second = Connect(), probe = Connect();
  Exchanged(first, Get("/"));
  EXPECT_TRUE(Contains(Exchanged(probe, Get("/readyz")), "HTTP/1.1 200 ")) << "there is room in the queue";
  Exchanged(second, Get("/"));
  const std::string response = Exchanged(probe, Get("/readyz"));
  EXPECT_TRUE(Contains(response, "HTTP/1.1 503 "));
  EXPECT_TRUE(Contains(response, "the queue is full\n"));
  EXPECT_TRUE(Contains(Exchanged(probe, Get("/livez")), "HTTP/1.1 200 "));
  Run(3 * kSecond);
  EXPECT_TRUE(Contains(Exchanged(probe, Get("/readyz")), "HTTP/1.1 200 "));
  for (const int peer : {first, second, probe}) ring_.PeerClose(peer);
}

TEST_F(ProbesTest, ADrainingWorkerIsNotReadyAndLives) {
  StartProbed();
  const int ready = Connect(), alive = Connect();
  Exchanged(ready, Get("/"));
  Exchanged(alive, Get("/"));
  service_->Drain();
  EXPECT_TRUE(Contains(Exchanged(ready, Get("/readyz")), "503 Service Unavailable: the worker drains\n"));
  EXPECT_TRUE(ring_.PeerSeesEnd(ready));
  EXPECT_TRUE(Contains(Exchanged(alive, Get("/livez")), "HTTP/1.1 200 "));
  ring_.PeerClose(ready);
  ring_.PeerClose(alive);
}

TEST_F(ProbesTest, WhatIsPipelinedBehindOneIsNotRead) {
  StartProbed();
  const int peer = Connect();
  std::string many;
  for (int i = 0; i < 5000; ++i) many += Get("/livez");
  const std::string response = Exchanged(peer, many, 5 * kSecond);
  EXPECT_EQ(Count(response, "HTTP/1.1 200 "), 1u);
  EXPECT_TRUE(Contains(response, "Connection: close\r\n"));
  ring_.PeerClose(peer);
}

TEST_F(ProbesTest, ARequestInFrontOfOneInAPipelineIsAnsweredFirst) {
  StartProbed();
  const int peer = Connect();
  const std::string responses = Exchanged(peer, Get("/one") + Get("/livez"));
  EXPECT_LT(responses.find("\r\n\r\n/one"), responses.find("the loop turns"));
  ring_.PeerClose(peer);
}

TEST_F(ProbesTest, OneWithABodyIsAnsweredAndTheConnectionCloses) {
  StartProbed();
  const int peer = Connect();
  const std::string response = Exchanged(peer, Get("/livez", "Content-Length: 3\r\n") + "abc", 5 * kSecond);
  EXPECT_TRUE(Contains(response, "HTTP/1.1 200 "));
  EXPECT_TRUE(Contains(response, "Connection: close\r\n"));
  ring_.PeerClose(peer);
}

}  // namespace
}  // namespace greenring::worker
