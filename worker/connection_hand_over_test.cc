// A listener whose address other pools share: which requests are served, refused and handed over, with what bytes.
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "worker/http_service.h"
#include "worker/http_service_fixture.h"
#include "worker/neighbours.h"
#include "worker/route_table.h"

namespace greenring::worker {
namespace {

constexpr int kB = 1;  // the other pool

class FakeNeighbours final : public Neighbours {
 public:
  struct Handed {
    int pool;
    int fd;
    std::string address;
    std::string received;
  };

  absl::Status HandOver(int pool, const HandedConnection& connection) override {
    if (!status.ok()) return status;
    handed.push_back({pool, connection.fd.get(), connection.address, connection.received});
    return absl::OkStatus();
  }
  void Stop() override { asked_to_stop = true; }
  bool stopped() const override { return asked_to_stop && !busy; }

  std::vector<Handed> handed;
  absl::Status status;
  bool asked_to_stop = false;
  bool busy = false;
};

class ConnectionHandOverTest : public HttpServiceTest {
 protected:
  explicit ConnectionHandOverTest(const testing::SimRingOptions& options = {}) : HttpServiceTest(options) {
    listener_.address = "10.0.0.1:80";
    listener_.routes.Add({.path_prefix = "/a"}, RouteTable::kOwnPool);
    listener_.routes.Add({.path_prefix = "/b"}, kB);
    app_ = [](HttpExchange* exchange) {
      const std::string body = ReadAll(exchange);
      Reply(exchange, std::string(exchange->head().target) +
                          " mounted:" + std::to_string(exchange->script_name_bytes()) + " body:" + body);
    };
  }

  void StartShared(CoreSettings cores = {}, HttpServiceOptions options = {}) {
    Start(cores, options);
    service_->SetNeighbours(&neighbours_);
  }

  static std::string Get(const std::string& target) { return "GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n"; }

  // A client that takes nothing of the long answer to its first request, /a; `next` waits behind that.
  int ConnectSlow(const std::string& next) {
    app_ = [](HttpExchange* exchange) { Reply(exchange, std::string(10000, 'x')); };
    const int peer = Connect();
    ring_.LimitSends(0);
    ring_.PeerWrite(peer, Get("/a") + next);
    Run();
    return peer;
  }

  // The end of a connection that was handed over: its new owner's.
  void CloseHanded() {
    for (const FakeNeighbours::Handed& handed : neighbours_.handed) ring_.Close(handed.fd);
    neighbours_.handed.clear();
    Run();
  }

  FakeNeighbours neighbours_;
};

TEST_F(ConnectionHandOverTest, ItsOwnRequestIsServedWithItsMount) {
  StartShared();
  const int peer = Connect();
  EXPECT_TRUE(Contains(Exchanged(peer, Get("/a/x")), "/a/x mounted:2 body:"));
  EXPECT_TRUE(Contains(Exchanged(peer, Get("/%61/x")), "mounted:2")) << "as it is decoded";
  EXPECT_TRUE(neighbours_.handed.empty());
  ring_.PeerClose(peer);
}

TEST_F(ConnectionHandOverTest, WithoutRoutesEverythingIsServed) {
  StartShared();
  listener_.routes = RouteTable();
  const int peer = Connect();
  EXPECT_TRUE(Contains(Exchanged(peer, Get("/b")), "/b mounted:0"));
  ring_.PeerClose(peer);
}

TEST_F(ConnectionHandOverTest, ARequestThatNobodyTakesIsA404) {
  StartShared();
  const int peer = Connect();
  EXPECT_TRUE(Contains(Exchanged(peer, Get("/c")), "HTTP/1.1 404 "));
  EXPECT_EQ(service_->statistics().requests(), 1u);
  ring_.PeerClose(peer);
}

TEST_F(ConnectionHandOverTest, AnotherPoolsRequestIsHandedOverAsItCame) {
  StartShared();
  const int peer = Connect();
  EXPECT_EQ(Exchanged(peer, Get("/b/x?y")), "");
  ASSERT_EQ(neighbours_.handed.size(), 1u);
  EXPECT_EQ(neighbours_.handed[0].pool, kB);
  EXPECT_EQ(neighbours_.handed[0].address, "10.0.0.1:80");
  EXPECT_EQ(neighbours_.handed[0].received, Get("/b/x?y"));
  EXPECT_EQ(service_->connection_count(), 0u);
  EXPECT_EQ(service_->statistics().requests(), 0u) << "it is counted where it is served";
  CloseHanded();
  ring_.PeerClose(peer);
}

TEST_F(ConnectionHandOverTest, AHeadMayComeInPieces) {
  StartShared();
  const int peer = Connect();
  for (const char byte : Get("/b")) EXPECT_EQ(Exchanged(peer, std::string(1, byte)), "");
  ASSERT_EQ(neighbours_.handed.size(), 1u);
  EXPECT_EQ(neighbours_.handed[0].received, Get("/b"));
  CloseHanded();
  ring_.PeerClose(peer);
}

TEST_F(ConnectionHandOverTest, WhatStandsBehindTheHeadGoesAlong) {
  StartShared();
  const int peer = Connect();
  const std::string request = "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody" + Get("/a") + "GET /a";
  Exchanged(peer, request);
  ASSERT_EQ(neighbours_.handed.size(), 1u);
  EXPECT_EQ(neighbours_.handed[0].received, request);
  CloseHanded();
  ring_.PeerClose(peer);
}

TEST_F(ConnectionHandOverTest, EarlierRequestsOfAPipelineAreAnsweredFirst) {
  StartShared();
  const int peer = Connect();
  const std::string rest = Get("/b") + Get("/a/3");
  const std::string answers =
      Exchanged(peer, "POST /a/1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\none" + Get("/a/2") + rest);
  EXPECT_TRUE(Contains(answers, "/a/1 mounted:2 body:one"));
  EXPECT_TRUE(Contains(answers, "/a/2 mounted:2 body:"));
  EXPECT_EQ(Count(answers, "HTTP/1.1 "), 2u);
  ASSERT_EQ(neighbours_.handed.size(), 1u);
  EXPECT_EQ(neighbours_.handed[0].received, rest);
  CloseHanded();
  ring_.PeerClose(peer);
}

TEST_F(ConnectionHandOverTest, AKeptConnectionIsRoutedWithEachRequest) {
  StartShared();
  const int peer = Connect();
  EXPECT_TRUE(Contains(Exchanged(peer, Get("/a")), "200 OK"));
  Exchanged(peer, Get("/b"));
  EXPECT_EQ(neighbours_.handed.size(), 1u);
  CloseHanded();
  ring_.PeerClose(peer);
}

TEST_F(ConnectionHandOverTest, WhatComesMeanwhileIsNotLost) {
  StartShared();
  const int peer = ConnectSlow(Get("/b"));
  EXPECT_TRUE(neighbours_.handed.empty()) << "the answer is not sent yet";
  ring_.PeerWrite(peer, Get("/a/later"));
  Run();
  ring_.LimitSends(SIZE_MAX);
  Run();
  ASSERT_EQ(neighbours_.handed.size(), 1u);
  EXPECT_EQ(neighbours_.handed[0].received, Get("/b"));
  EXPECT_EQ(Count(ring_.PeerRead(peer), "200 OK"), 1u);
  // The rest is in the socket, for its new owner.
  listener_.OnAccept(UniqueFd(neighbours_.handed[0].fd));
  Run();
  EXPECT_TRUE(Contains(ring_.PeerRead(peer), "200 OK"));
  ring_.PeerClose(peer);
}

TEST_F(ConnectionHandOverTest, WhoCannotBeHandedOverIsRefusedAndMayComeAgain) {
  StartShared();
  neighbours_.status = absl::ResourceExhaustedError("pool b is slow");
  const int peer = Connect();
  const std::string answer = Exchanged(peer, Get("/b"));
  EXPECT_TRUE(Contains(answer, "HTTP/1.1 503 "));
  EXPECT_TRUE(Contains(answer, "Retry-After: 1\r\n"));
  EXPECT_TRUE(Contains(answer, "pool b is slow"));
  EXPECT_TRUE(ring_.PeerSeesEnd(peer));
  EXPECT_EQ(service_->statistics().requests(), 1u);
  ring_.PeerClose(peer);
}

TEST_F(ConnectionHandOverTest, WithoutNeighboursAnotherPoolsRequestIsRefused) {
  Start();
  const int peer = Connect();
  EXPECT_TRUE(Contains(Exchanged(peer, Get("/b")), "HTTP/1.1 503 "));
  ring_.PeerClose(peer);
}

TEST_F(ConnectionHandOverTest, RoutesThatChangeMeanwhileDecide) {
  StartShared();
  const int peer = ConnectSlow(Get("/b/x"));
  listener_.routes = RouteTable();
  listener_.routes.Add({.path_prefix = "/b"}, RouteTable::kOwnPool);
  ring_.LimitSends(SIZE_MAX);
  std::string answers;
  for (int i = 0; i < 20; ++i) {
    Run();
    answers += ring_.PeerRead(peer);
  }
  EXPECT_EQ(Count(answers, "200 OK"), 2u);
  EXPECT_TRUE(neighbours_.handed.empty());
  ring_.PeerClose(peer);
}

TEST_F(ConnectionHandOverTest, AClientThatIsGoneIsNotHandedOver) {
  StartShared();
  const int peer = ConnectSlow(Get("/b"));
  ring_.PeerReset(peer);
  Run();
  EXPECT_TRUE(neighbours_.handed.empty());
  EXPECT_EQ(service_->connection_count(), 0u);
  ring_.PeerClose(peer);
}

TEST_F(ConnectionHandOverTest, AClientThatTakesNoAnswersIsCutOff) {
  HttpServiceOptions options;
  options.io_timeout_ns = kSecond;
  StartShared({}, options);
  const int peer = ConnectSlow(Get("/b"));
  Run(2 * kSecond);
  EXPECT_EQ(service_->connection_count(), 0u);
  EXPECT_TRUE(neighbours_.handed.empty());
  ring_.LimitSends(SIZE_MAX);
  ring_.PeerClose(peer);
}

TEST_F(ConnectionHandOverTest, TheEndOfADrainCutsItOff) {
  StartShared();
  const int peer = ConnectSlow(Get("/b"));
  EXPECT_EQ(service_->AbortAll(), 1u);
  Run();
  EXPECT_EQ(service_->connection_count(), 0u);
  ring_.LimitSends(SIZE_MAX);
  ring_.PeerClose(peer);
}

TEST_F(ConnectionHandOverTest, AWorkerThatDrainsStillHandsOver) {
  StartShared();
  const int peer = Connect();
  service_->Drain();
  EXPECT_TRUE(neighbours_.asked_to_stop);
  Exchanged(peer, Get("/b"));
  EXPECT_EQ(neighbours_.handed.size(), 1u);
  CloseHanded();
  ring_.PeerClose(peer);
}

TEST_F(ConnectionHandOverTest, ADrainWaitsForTheNeighboursToStop) {
  StartShared();
  neighbours_.busy = true;
  service_->Drain();
  Run(kSecond);
  EXPECT_FALSE(drained_);
  neighbours_.busy = false;
  service_->OnNeighboursStopped();
  EXPECT_TRUE(drained_);
}

TEST_F(ConnectionHandOverTest, ProbesAreAnsweredByWhoAccepts) {
  HttpServiceOptions options;
  options.probes.liveness = "/b/livez";
  StartShared({}, options);
  const int peer = Connect();
  EXPECT_TRUE(Contains(Exchanged(peer, Get("/b/livez")), "200 OK"));
  Exchanged(peer, Get("/b/x"));
  EXPECT_EQ(neighbours_.handed.size(), 1u);
  CloseHanded();
  ring_.PeerClose(peer);
}

}  // namespace
}  // namespace greenring::worker
