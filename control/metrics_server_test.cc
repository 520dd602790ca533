#include "control/metrics_server.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "control/service/fake_control_plane.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

using boost::asio::ip::tcp;
using testing::HasSubstr;
using testing::StartsWith;

class MetricsServerTest : public testing::Test {
 protected:
  void SetUp() override {
    limits_.connections_max = 4;
    limits_.idle_timeout_ms = 300;
    v1::Metrics metrics;
    metrics.set_address("127.0.0.1:0");
    absl::StatusOr<std::unique_ptr<MetricsServer>> server = MetricsServer::Start(metrics, &reactor_, &plane_, limits_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    const std::string address = server_->address();
    port_ = address.substr(address.rfind(':') + 1);
    thread_ = std::thread([this] { reactor_.Run(); });
  }

  void TearDown() override {
    if (!thread_.joinable()) return;
    reactor_.Call([this] { server_.reset(); });
    EXPECT_EQ(reactor_.Call([this] { return plane_.observer_count(); }), 0u);
    reactor_.Stop();
    thread_.join();
  }

  tcp::socket Connect() {
    tcp::socket socket(client_);
    boost::asio::connect(socket, tcp::resolver(client_).resolve("127.0.0.1", port_));
    return socket;
  }

  // All that comes until the server closes.
  static std::string ReadAll(tcp::socket* socket) {
    std::string text;
    boost::system::error_code error;
    boost::asio::read(*socket, boost::asio::dynamic_buffer(text), error);
    return text;
  }

  std::string Ask(const std::string& method, const std::string& target) {
    tcp::socket socket = Connect();
    const std::string request = absl::StrCat(method, " ", target, " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    boost::asio::write(socket, boost::asio::buffer(request));
    return ReadAll(&socket);
  }
  std::string Get(const std::string& target) { return Ask("GET", target); }

  void SetState(const std::string& pool, v1::PoolStatus::State state, const std::string& message) {
    reactor_.Call([&] {
      plane_.pool(pool)->mutable_status()->set_state(state);
      plane_.pool(pool)->mutable_status()->set_message(message);
    });
  }

  Reactor reactor_;
  FakeControlPlane plane_;
  MetricsLimits limits_;
  std::unique_ptr<MetricsServer> server_;
  boost::asio::io_context client_;
  std::string port_;
  std::thread thread_;
};

TEST_F(MetricsServerTest, ServesMetricsInPrometheusTextFormat) {
  reactor_.Call([this] {
    (*plane_.statistics("pools/web")->mutable_responses_by_status())[200] = 5;
    plane_.EmitEvents(3);
  });
  const std::string response = Get("/metrics");
  EXPECT_THAT(response, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(response, HasSubstr("Content-Type: text/plain; version=0.0.4"));
  EXPECT_THAT(response, HasSubstr("greenring_requests_total{pool=\"web\",code=\"200\"} 5\n"));
  EXPECT_THAT(response, HasSubstr("greenring_events_total{kind=\"worker_ready\",severity=\"info\"} 3\n"));
}

TEST_F(MetricsServerTest, IsAliveWhateverThePoolsDo) {
  SetState("pools/web", v1::PoolStatus::START_FAILED, "");
  EXPECT_THAT(Get("/livez"), StartsWith("HTTP/1.1 200"));
}

TEST_F(MetricsServerTest, IsReadyWhenEveryPoolServes) {
  EXPECT_THAT(Get("/readyz"), StartsWith("HTTP/1.1 200"));
  SetState("pools/web", v1::PoolStatus::START_FAILED, "ImportError:\nno module");
  const std::string response = Get("/readyz");
  EXPECT_THAT(response, StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(response, HasSubstr("pools/web: START_FAILED: ImportError: no module\n"));
}

TEST_F(MetricsServerTest, APoolThatWasDrainedIsNoReasonWhileAnotherServes) {
  reactor_.Call([this] { plane_.pool("pools/web")->set_drained(true); });
  SetState("pools/web", v1::PoolStatus::DRAINED, "");
  EXPECT_THAT(Get("/readyz"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Get("/readyz?pool=web"), StartsWith("HTTP/1.1 503"));
  SetState("pools/api", v1::PoolStatus::STARTING, "");
  EXPECT_THAT(Get("/readyz"), HasSubstr("pools/api: STARTING\n"));
  reactor_.Call([this] { plane_.pool("pools/api")->set_drained(true); });
  SetState("pools/api", v1::PoolStatus::DRAINED, "");
  EXPECT_THAT(Get("/readyz"), StartsWith("HTTP/1.1 503")) << "nothing is served";
  EXPECT_THAT(Get("/readyz"), HasSubstr("pools/web: DRAINED\n"));
}

TEST_F(MetricsServerTest, OnePoolCanBeAskedFor) {
  SetState("pools/web", v1::PoolStatus::DRAINED, "");
  EXPECT_THAT(Get("/readyz?pool=api"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Get("/readyz?pool=pools/api"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Get("/readyz?pool=web"), StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(Get("/readyz?pool=shop"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(Get("/readyz?poll=web"), StartsWith("HTTP/1.1 400"));
}

TEST_F(MetricsServerTest, OtherPathsAndMethodsAreRefused) {
  EXPECT_THAT(Get("/"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(Get("/metricsx"), StartsWith("HTTP/1.1 404"));
  const std::string response = Ask("DELETE", "/metrics");
  EXPECT_THAT(response, StartsWith("HTTP/1.1 405"));
  EXPECT_THAT(response, HasSubstr("Allow: GET, HEAD\r\n"));
}

TEST_F(MetricsServerTest, HeadHasTheLengthAndNoBody) {
  const std::string response = Ask("HEAD", "/livez");
  EXPECT_THAT(response, HasSubstr("Content-Length: 3\r\n"));
  EXPECT_TRUE(absl::EndsWith(response, "\r\n\r\n"));
}

TEST_F(MetricsServerTest, AConnectionTakesSeveralRequests) {
  tcp::socket socket = Connect();
  const std::string twice =
      "GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  boost::asio::write(socket, boost::asio::buffer(twice));
  const std::string responses = ReadAll(&socket);
  const size_t first = responses.find("HTTP/1.1 200");
  EXPECT_EQ(first, 0u);
  EXPECT_NE(responses.find("HTTP/1.1 200", first + 1), std::string::npos);
}

TEST_F(MetricsServerTest, GarbageIsABadRequest) {
  for (const std::string& text :
       {std::string("\x16\x03\x01 hello\r\n\r\n"), "GET / HTTP/1.1\r\nX: " + std::string(10'000, 'x')}) {
    tcp::socket socket = Connect();
    boost::system::error_code ignored;
    boost::asio::write(socket, boost::asio::buffer(text), ignored);
    EXPECT_THAT(ReadAll(&socket), StartsWith("HTTP/1.1 400"));
  }
}

TEST_F(MetricsServerTest, AClientThatSaysNothingIsSentAway) {
  const auto begin = std::chrono::steady_clock::now();
  tcp::socket socket = Connect();
  EXPECT_EQ(ReadAll(&socket), "");
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(limits_.idle_timeout_ms));
}

TEST_F(MetricsServerTest, MoreConnectionsThanItTakesAreClosedAtOnce) {
  std::vector<tcp::socket> sockets;
  for (int i = 0; i < limits_.connections_max; ++i) sockets.push_back(Connect());
  EXPECT_EQ(Get("/livez"), "");
  sockets.clear();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!absl::StartsWith(Get("/livez"), "HTTP/1.1 200")) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "connections that were closed count for ever";
  }
}

TEST_F(MetricsServerTest, AConnectionThatIsOpenAtTheEndIsClosed) {
  tcp::socket socket = Connect();
  Get("/livez");  // it has been accepted
  reactor_.Call([this] { server_.reset(); });
  EXPECT_EQ(ReadAll(&socket), "");
}

TEST_F(MetricsServerTest, AnAddressInUseIsNamedWithTheFlag) {
  v1::Metrics metrics;
  metrics.set_address(absl::StrCat("127.0.0.1:", port_));
  reactor_.Call([&] {
    const auto server = MetricsServer::Start(metrics, &reactor_, &plane_);
    EXPECT_THAT(server.status().message(), HasSubstr(metrics.address()));
    EXPECT_THAT(server.status().message(), HasSubstr("--metrics"));
    metrics.set_address("unix:/tmp/x");
    EXPECT_FALSE(MetricsServer::Start(metrics, &reactor_, &plane_).ok());
    metrics.clear_address();
    EXPECT_EQ(*MetricsServer::Start(metrics, &reactor_, &plane_), nullptr);
  });
}

}  // namespace
}  // namespace greenring::control
