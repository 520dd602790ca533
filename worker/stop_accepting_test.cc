// One listener of several stops, on a real ring and real sockets: whoever connects in time is served.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "gtest/gtest.h"
#include "ioloop/event_loop.h"
#include "ioloop/listener.h"
#include "ioloop/uring.h"
#include "testing/run_for.h"
#include "worker/core_pool.h"
#include "worker/http_service.h"
#include "worker/http_service_fixture.h"

namespace greenring::worker {
namespace {

class StopAcceptingTest : public ::testing::Test, public CorePool::Runner, public HttpService::Observer {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<ioloop::Uring>> ring = ioloop::Uring::Create({});
    if (!ring.ok()) GTEST_SKIP() << ring.status();
    ring_ = *std::move(ring);
    loop_ = std::make_unique<ioloop::EventLoop>(ring_.get(), &scheduler_);
    cores_ = std::make_unique<CorePool>(&scheduler_, CoreSettings{}, this);
    service_ = std::make_unique<HttpService>(loop_.get(), cores_.get(), HttpServiceOptions{}, &errors_, nullptr, this);
  }

  void TearDown() override {
    if (service_ == nullptr) return;
    service_->Drain();
    Run(HttpService::kDrainIdleNs + 2 * HttpService::kTickNs + kSecond);
    EXPECT_TRUE(drained_);
    Run(10 * kMs);
    service_.reset();
    cores_.reset();
  }

  // Listens on a port of its own; the address.
  std::string Listen() {
    auto listener = ioloop::Listener::Open("127.0.0.1:0").value();
    const std::string address = listener->address();
    service_->AddListener(std::move(listener), nullptr);
    return address;
  }

  // The same, on a socket that is somebody else's too: what waits in it is left to them.
  std::string ListenOnAdopted() {
    lenders_.push_back(ioloop::Listener::Open("127.0.0.1:0").value());
    service_->AddListener(ioloop::Listener::Adopt(UniqueFd(dup(lenders_.back()->fd()))).value(), nullptr);
    return lenders_.back()->address();
  }

  // -1: refused.
  static UniqueFd Connect(const std::string& address) {
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&where), sizeof(where)) != 0) fd.Reset();
    return fd;
  }

  static void Send(const UniqueFd& fd) {
    constexpr std::string_view kRequest = "GET /served HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    ASSERT_EQ(write(fd.get(), kRequest.data(), kRequest.size()), static_cast<ssize_t>(kRequest.size()));
  }

  static std::string Received(const UniqueFd& fd) {
    char data[1000];
    const ssize_t size = recv(fd.get(), data, sizeof(data), MSG_DONTWAIT);
    return size > 0 ? std::string(data, static_cast<size_t>(size)) : "";
  }

  void Run(int64_t duration_ns) { testing::RunFor(&scheduler_, loop_.get(), duration_ns); }

  void RunCore(CorePool* pool) override {
    while (HttpExchange* exchange = pool->Next()) {
      Connection* connection = exchange->connection();
      Reply(exchange, exchange->head().target);
      connection->OnServed();
    }
  }
  void OnCoreAbandoned(green::GreenThread*, HttpExchange*) override {}
  void OnCoresEnded() override {}
  void OnOverdue() override {}
  void OnRequestLimit() override {}
  void OnDrained() override {
    drained_ = true;
    cores_->Stop();
  }

  std::unique_ptr<LogFile> log_file_ = LogFile::Open("/dev/null", 2).value();
  ErrorLog errors_{log_file_.get()};
  green::Scheduler scheduler_;
  std::unique_ptr<ioloop::Uring> ring_;
  std::unique_ptr<ioloop::EventLoop> loop_;
  std::unique_ptr<CorePool> cores_;
  std::unique_ptr<HttpService> service_;
  std::vector<std::unique_ptr<ioloop::Listener>> lenders_;
  bool drained_ = false;
};

TEST_F(StopAcceptingTest, WhoConnectsWhileItIsNotQuietIsServed) {
  const std::string stopping = Listen(), other = Listen();
  Run(10 * kMs);
  const UniqueFd silent = Connect(stopping);  // sends its first bytes later
  const int64_t began_ns = scheduler_.clock()->NowNs();
  int64_t stopped_ns = 0;
  service_->StopAccepting({stopping}, [&] { stopped_ns = scheduler_.clock()->NowNs(); });
  Run(100 * kMs);
  const UniqueFd late = Connect(stopping);
  ASSERT_TRUE(late.valid());
  Send(late);
  Run(50 * kMs);
  EXPECT_TRUE(Contains(Received(late), "\r\n\r\n/served"));
  Send(silent);
  Run(50 * kMs);
  EXPECT_TRUE(Contains(Received(silent), "\r\n\r\n/served"));
  EXPECT_EQ(stopped_ns, 0) << "others who say nothing may still come";
  Run(HttpService::kSilentClientNs + HttpService::kQuietNs);
  EXPECT_GE(stopped_ns, began_ns + HttpService::kSilentClientNs);
  EXPECT_FALSE(Connect(stopping).valid());
  const UniqueFd still = Connect(other);
  Send(still);
  Run(50 * kMs);
  EXPECT_TRUE(Contains(Received(still), "\r\n\r\n/served")) << "the other one goes on";
}

TEST_F(StopAcceptingTest, WhoSaysNothingForLongerThanQuietLastsIsServed) {
  const std::string stopping = Listen();
  Run(10 * kMs);
  const UniqueFd silent = Connect(stopping);
  service_->StopAccepting({stopping}, [] {});
  Run(3 * HttpService::kQuietNs);
  Send(silent);
  Run(50 * kMs);
  EXPECT_TRUE(Contains(Received(silent), "\r\n\r\n/served"));
  const UniqueFd more_silent = Connect(stopping);
  Run(HttpService::kSilentClientNs);
  Send(more_silent);
  Run(50 * kMs);
  EXPECT_TRUE(Contains(Received(more_silent), "\r\n\r\n/served")) << "it was accepted without its first bytes";
}

TEST_F(StopAcceptingTest, ItIsNotQuietWhereItsProcessHadNoTurn) {
  const std::string stopping = ListenOnAdopted();
  Run(10 * kMs);
  service_->StopAccepting({stopping}, [] {});
  Run(HttpService::kSilentClientNs - 50 * kMs);
  const UniqueFd late = Connect(stopping);
  Send(late);
  usleep(100'000);  // the timer is due when the loop turns again, and so is the accept
  Run(100 * kMs);
  EXPECT_TRUE(Contains(Received(late), "\r\n\r\n/served"));
}

TEST_F(StopAcceptingTest, AskedAgainOrInADrainItIsToldAllTheSame) {
  const std::string address = Listen();
  Run(10 * kMs);
  int told = 0;
  service_->StopAccepting({address}, [&] { ++told; });
  service_->StopAccepting({address, "127.0.0.1:1"}, [&] { ++told; });
  EXPECT_EQ(told, 0);
  service_->Drain();
  Run(HttpService::kQuietNs);
  EXPECT_EQ(told, 2);
  service_->StopAccepting({address}, [&] { ++told; });
  EXPECT_EQ(told, 3) << "it has stopped already";
}

}  // namespace
}  // namespace greenring::worker
