// Workers of two pools that share an address, on real rings and real sockets: connections go to and fro.
#include "worker/shared_addresses.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "green/scheduler.h"
#include "gtest/gtest.h"
#include "ioloop/event_loop.h"
#include "ioloop/listener.h"
#include "ioloop/uring.h"
#include "testing/run_for.h"
#include "worker/hand_over.h"
#include "worker/http_service.h"
#include "worker/http_service_fixture.h"
#include "worker/log.h"

namespace greenring::worker {
namespace {

size_t OpenDescriptors() {
  DIR* const directory = opendir("/proc/self/fd");
  size_t count = 0;
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count;
}

std::string Get(const std::string& target) { return "GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n"; }

// A pool's worker, without a process of its own.
class PoolWorker final : public CorePool::Runner, public HttpService::Observer {
 public:
  // Its name is what it says of each request, in "<name>:<target>:<mount>:<bytes of the body>".
  PoolWorker(std::string name, std::unique_ptr<ioloop::Uring> ring, int listening_socket)
      : name_(std::move(name)), ring_(std::move(ring)) {
    service.SetNeighbours(&shared);
    auto listener = ioloop::Listener::Adopt(UniqueFd(dup(listening_socket))).value();
    address = listener->address();
    service.AddListener(std::move(listener), nullptr);
  }

  void End() {
    service.Drain();
    for (int i = 0; i < 50 && !drained; ++i) Run(100 * kMs);
    EXPECT_TRUE(drained) << "a connection was left open";
    Run();
  }

  void Run(int64_t duration_ns = kMs) { testing::RunFor(&scheduler_, &loop_, duration_ns); }

  // Gives up accepting: what it serves from now on others have handed over.
  void StopAccepting() {
    bool stopped = false;
    service.StopAccepting({address}, [&stopped] { stopped = true; });
    while (!stopped) Run(10 * kMs);
  }

  void RunCore(CorePool* pool) override {
    while (HttpExchange* exchange = pool->Next()) {
      Connection* const connection = exchange->connection();
      const std::string target(exchange->head().target);
      const std::string body = ReadAll(exchange);
      ++served[target];
      const std::string mount = target.substr(0, exchange->script_name_bytes());
      Reply(exchange, absl::StrCat(name_, ":", target, ":", mount, ":", body.size()));
      connection->OnServed();
    }
  }
  void OnCoreAbandoned(green::GreenThread*, HttpExchange*) override {}
  void OnCoresEnded() override {}
  void OnOverdue() override {}
  void OnRequestLimit() override {}
  void OnDrained() override {
    drained = true;
    cores_.Stop();
  }

  std::map<std::string, int> served;
  std::string address;
  bool drained = false;

 private:
  const std::string name_;
  std::unique_ptr<LogFile> log_file_ = LogFile::Open("/dev/null", 2).value();
  ErrorLog errors_{log_file_.get()};
  std::unique_ptr<ioloop::Uring> ring_;
  green::Scheduler scheduler_;
  ioloop::EventLoop loop_{ring_.get(), &scheduler_};
  CorePool cores_{&scheduler_, CoreSettings{}, this};

 public:
  HttpService service{&loop_, &cores_, HttpServiceOptions{}, &errors_, nullptr, this};
  SharedAddresses shared{&loop_, &service, &errors_};
};

class SharedAddressesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* const name : {"A", "B"}) {
      absl::StatusOr<std::unique_ptr<ioloop::Uring>> ring = ioloop::Uring::Create({});
      if (!ring.ok()) GTEST_SKIP() << ring.status();
      if (!listening_.valid()) Listen();
      workers_.push_back(std::make_unique<PoolWorker>(name, *std::move(ring), listening_.get()));
      int fds[2];
      ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
      receiving_.emplace_back(fds[0]);
      sending_.emplace_back(fds[1]);
    }
    Tell(kA, {{"/a", kA}, {"/b", kB}});
    Tell(kB, {{"/a", kA}, {"/b", kB}});
  }

  void TearDown() override {
    for (auto& worker : workers_) worker->End();
    workers_.clear();
    listening_.Reset();
    receiving_.clear();
    sending_.clear();
    EXPECT_EQ(OpenDescriptors(), descriptors_) << "a descriptor was left open";
  }

  static constexpr size_t kA = 0, kB = 1;

  PoolWorker& a() { return *workers_[kA]; }
  PoolWorker& b() { return *workers_[kB]; }

  void Listen() {
    listening_.Reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(bind(listening_.get(), reinterpret_cast<sockaddr*>(&any), sizeof(any)), 0);
    ASSERT_EQ(listen(listening_.get(), 128), 0);
    socklen_t size = sizeof(address_);
    getsockname(listening_.get(), reinterpret_cast<sockaddr*>(&address_), &size);
  }

  // As the master does: who serves which prefix, from now on.
  void Tell(size_t which, const std::vector<std::pair<std::string, size_t>>& prefixes) {
    v1::ToWorker::Routes routes;
    routes.set_has_inbox(true);
    routes.add_pools("pools/other");
    for (const auto& [prefix, pool] : prefixes) {
      v1::ToWorker::Routes::Entry* const entry = routes.add_entries();
      entry->set_address(workers_[which]->address);
      entry->mutable_route()->set_path_prefix(prefix);
      entry->set_pool(pool == which ? -1 : 0);
    }
    std::vector<UniqueFd> descriptors;
    descriptors.emplace_back(dup(receiving_[which].get()));
    descriptors.emplace_back(dup(sending_[1 - which].get()));
    workers_[which]->shared.Apply(routes, std::move(descriptors));
  }

  void Run(int times = 1) {
    for (int i = 0; i < times; ++i) {
      for (auto& worker : workers_) worker->Run();
    }
  }

  UniqueFd Connect() {
    UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<const sockaddr*>(&address_), sizeof(address_)), 0);
    return fd;
  }

  static void Write(const UniqueFd& fd, std::string_view data) {
    ASSERT_EQ(send(fd.get(), data.data(), data.size(), MSG_NOSIGNAL), static_cast<ssize_t>(data.size()));
  }

  static std::string Received(const UniqueFd& fd) {
    std::string all;
    char data[4096];
    for (;;) {
      const ssize_t size = recv(fd.get(), data, sizeof(data), MSG_DONTWAIT);
      if (size <= 0) return all;
      all.append(data, static_cast<size_t>(size));
    }
  }

  // What is answered until that is `wanted`, or it takes too long.
  std::string Answers(const UniqueFd& fd, std::string_view wanted) {
    std::string all;
    for (int i = 0; i < 500 && !Contains(all, wanted); ++i) {
      Run();
      all += Received(fd);
    }
    return all;
  }

  const size_t descriptors_ = OpenDescriptors();
  UniqueFd listening_;
  sockaddr_in address_{};
  std::vector<UniqueFd> receiving_, sending_;
  std::vector<std::unique_ptr<PoolWorker>> workers_;
};

TEST_F(SharedAddressesTest, WhoeverAcceptsEachRequestIsItsPools) {
  const UniqueFd client = Connect();
  Write(client, Get("/a/1") + Get("/b/2") + Get("/a/3") + Get("/b/4"));
  const std::string answers = Answers(client, "B:/b/4");
  size_t at = 0;
  for (const char* const body : {"A:/a/1:/a:0", "B:/b/2:/b:0", "A:/a/3:/a:0", "B:/b/4:/b:0"}) {
    at = answers.find(body, at);
    ASSERT_NE(at, std::string::npos) << body << " in:\n" << answers;
  }
  EXPECT_EQ(Count(answers, "HTTP/1.1 200 OK"), 4u);
}

TEST_F(SharedAddressesTest, ABodyThatIsLongGoesAlong) {
  a().StopAccepting();
  const UniqueFd client = Connect();
  const std::string body(150 * 1024, 'x');
  Write(client, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 153600\r\n\r\n");
  Write(client, body + Get("/b/after"));
  const std::string answers = Answers(client, "B:/b/after");
  EXPECT_TRUE(Contains(answers, "A:/a:/a:153600")) << answers;
  EXPECT_TRUE(Contains(answers, "B:/b/after:/b:0")) << answers;
}

TEST_F(SharedAddressesTest, TheFirstRequestIsTheReceiversWhateverItsOwnTableSays) {
  b().StopAccepting();
  Tell(kB, {{"/b", kA}, {"/b/mine", kB}});  // not what the other one believes
  const UniqueFd mine = Connect();
  Write(mine, Get("/b/mine/1"));
  EXPECT_TRUE(Contains(Answers(mine, "B:"), "B:/b/mine/1:/b/mine:0")) << "by its own route";
  const UniqueFd nobodys = Connect();
  Write(nobodys, Get("/b/x"));
  EXPECT_TRUE(Contains(Answers(nobodys, "\r\n\r\n"), "HTTP/1.1 404 "));
}

TEST_F(SharedAddressesTest, AWorkerThatHasNoRoutesServesAllThatItIsHanded) {
  b().StopAccepting();
  b().shared.Apply(
      [] {
        v1::ToWorker::Routes routes;
        routes.set_has_inbox(true);
        return routes;
      }(),
      [this] {
        std::vector<UniqueFd> descriptors;
        descriptors.emplace_back(dup(receiving_[kB].get()));
        return descriptors;
      }());
  const UniqueFd client = Connect();
  Write(client, Get("/b/1"));
  EXPECT_TRUE(Contains(Answers(client, "B:"), "B:/b/1::0"));
}

TEST_F(SharedAddressesTest, RoutesMayChangeAtAnyTime) {
  b().StopAccepting();
  const UniqueFd client = Connect();
  Write(client, Get("/b/1"));
  EXPECT_TRUE(Contains(Answers(client, "/b/1"), "B:/b/1"));
  Tell(kA, {{"/b", kA}});
  Tell(kB, {{"/b", kA}});
  Write(client, Get("/b/2"));
  EXPECT_TRUE(Contains(Answers(client, "/b/2"), "A:/b/2"));
}

TEST_F(SharedAddressesTest, AFullInboxIsA503) {
  b().StopAccepting();
  b().End();  // nobody takes any more
  const HandedConnection filler{"nowhere", std::string(kInlineBytesMax, 'x'), UniqueFd(dup(listening_.get()))};
  while (SendConnection(sending_[kB].get(), filler).ok()) continue;
  while (SendConnection(sending_[kB].get(), {"nowhere", "", UniqueFd(dup(listening_.get()))}).ok()) continue;
  const UniqueFd client = Connect();
  Write(client, Get("/b/1"));
  std::string answer;
  for (int i = 0; i < 500 && !Contains(answer, "fast"); ++i) {
    a().Run();
    answer += Received(client);
  }
  EXPECT_TRUE(Contains(answer, "HTTP/1.1 503 "));
  EXPECT_TRUE(Contains(answer, "Retry-After: 1"));
  EXPECT_TRUE(Contains(answer, "the request is pools/other's: its workers do not take connections as fast"));
}

TEST_F(SharedAddressesTest, AConnectionOfAnUnknownAddressIsClosed) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd client(ends[0]);
  ASSERT_TRUE(SendConnection(sending_[kB].get(), {"10.1.2.3:80", Get("/b"), UniqueFd(ends[1])}).ok());
  Run(5);
  char byte;
  EXPECT_EQ(recv(client.get(), &byte, 1, MSG_DONTWAIT), 0);
}

TEST_F(SharedAddressesTest, ARouteOfAPoolThatIsNotNamedIsLeftOut) {
  b().StopAccepting();
  v1::ToWorker::Routes routes;
  for (const int pool : {-2, 0, 7, -1}) {
    v1::ToWorker::Routes::Entry* const entry = routes.add_entries();
    entry->set_address(a().address);
    entry->mutable_route()->set_path_prefix(absl::StrCat("/p", pool));
    entry->set_pool(pool);
  }
  a().shared.Apply(routes, {});
  const UniqueFd client = Connect();
  Write(client, Get("/p-1"));
  EXPECT_TRUE(Contains(Answers(client, "A:"), "A:/p-1"));
  Write(client, Get("/p7"));
  EXPECT_TRUE(Contains(Answers(client, "\r\n\r\n"), "404"));
}

// ---- at random -----------------------------------------------------------------------------------------------------

// At least one turn of the loop, with a look at its ring.
constexpr int64_t kTurnNs = 20'000;

// One client with a number of requests, some of them with bodies, which it sends in pieces as it likes.
struct Client {
  UniqueFd fd;
  std::string unsent;
  std::vector<std::string> expected;  // bodies of the answers
  std::string answers;
  bool finishes = false;  // it says so when it has sent everything
  size_t resets_in = 0;   // rounds; 0: it does not
  bool gone = false;

  bool done() const { return gone || Count(answers, "HTTP/1.1 ") >= expected.size(); }
};

TEST_F(SharedAddressesTest, AtRandomNothingIsLostAndNothingIsServedTwice) {
  const char* const given = std::getenv("GREENRING_SEED");
  const unsigned seed = given != nullptr ? static_cast<unsigned>(std::atoi(given)) : std::random_device()();
  SCOPED_TRACE(absl::StrCat("replay with GREENRING_SEED=", seed));
  std::mt19937 random(seed);
  const auto draw = [&random](size_t below) { return random() % below; };

  std::vector<Client> clients(60);
  for (size_t i = 0; i < clients.size(); ++i) {
    const size_t requests = 1 + draw(12);
    for (size_t n = 0; n < requests; ++n) {
      const std::string pool = draw(2) == 0 ? "a" : "b";
      const std::string target = absl::StrCat("/", pool, "/", i, "-", n);
      const size_t body_bytes = draw(4) != 0 ? 0 : draw(8) == 0 ? 40000 + draw(40000) : draw(300);
      clients[i].unsent += body_bytes == 0
                               ? Get(target)
                               : absl::StrCat("POST ", target, " HTTP/1.1\r\nHost: h\r\nContent-Length: ", body_bytes,
                                              "\r\n\r\n", std::string(body_bytes, 'x'));
      clients[i].expected.push_back(absl::StrCat(pool == "a" ? "A" : "B", ":", target, ":/", pool, ":", body_bytes));
    }
    clients[i].fd = Connect();
    clients[i].finishes = draw(3) == 0;
    clients[i].resets_in = draw(3) == 0 ? 1 + draw(500) : 0;
  }

  Clock* const clock = Clock::Monotonic();
  const int64_t begun_ns = clock->NowNs();
  for (bool busy = true; busy;) {
    ASSERT_LT(clock->NowNs(), begun_ns + 40 * kSecond) << "some clients wait for their answers";
    busy = false;
    for (Client& client : clients) {
      if (client.done()) continue;
      busy = true;
      if (client.resets_in > 0 && --client.resets_in == 0) {
        const linger at_once = {.l_onoff = 1, .l_linger = 0};
        setsockopt(client.fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        client.fd.Reset();
        client.gone = true;
        continue;
      }
      const size_t piece = std::min(client.unsent.size(), draw(3) == 0 ? client.unsent.size() : draw(200));
      if (piece > 0 && draw(2) == 0) {
        const ssize_t sent = send(client.fd.get(), client.unsent.data(), piece, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) client.unsent.erase(0, static_cast<size_t>(sent));
      }
      if (client.unsent.empty() && std::exchange(client.finishes, false)) shutdown(client.fd.get(), SHUT_WR);
      client.answers += Received(client.fd);
    }
    workers_[draw(2)]->Run(kTurnNs);
    if (draw(50) == 0) Tell(draw(2), {{"/a", kA}, {"/b", kB}});
  }

  size_t served_whole = 0;
  for (const Client& client : clients) {
    if (client.gone) continue;
    ++served_whole;
    size_t at = 0;
    for (const std::string& body : client.expected) {
      at = client.answers.find(body, at);
      ASSERT_NE(at, std::string::npos) << body << " is not in its place in:\n" << client.answers;
    }
    EXPECT_EQ(Count(client.answers, "HTTP/1.1 200 OK"), client.expected.size());
  }
  EXPECT_GT(served_whole, clients.size() / 3);
  for (auto& worker : workers_) {
    for (const auto& [target, times] : worker->served) EXPECT_EQ(times, 1) << target;
  }
  for (const auto& [target, times] : a().served) EXPECT_EQ(b().served.count(target), 0u) << target;
}

}  // namespace
}  // namespace greenring::worker
