#include "ioloop/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "green/scheduler.h"
#include "gtest/gtest.h"
#include "ioloop/event_loop.h"
#include "ioloop/io.h"
#include "ioloop/uring.h"

namespace greenring::ioloop {
namespace {

// A blocking client's socket, on which it has sent a byte; invalid when the connection was refused.
UniqueFd ConnectTo(const Listener& listener) {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  EXPECT_EQ(getsockname(listener.fd(), reinterpret_cast<sockaddr*>(&storage), &size), 0);
  UniqueFd fd(socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&storage), size) != 0 || write(fd.get(), "x", 1) != 1) fd.Reset();
  return fd;
}

std::string TemporaryPath(const std::string& name) {
  // Not the test directory: its name can be longer than a socket address.
  return "/tmp/greenring_" + name + std::to_string(getpid());
}

class ListenerTest : public ::testing::Test, public Listener::Handler {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<Uring>> ring = Uring::Create({});
    if (!ring.ok()) GTEST_SKIP() << ring.status();
    ring_ = std::move(*ring);
    loop_.emplace(ring_.get(), &scheduler_);
  }

  void OnAccept(UniqueFd fd) override { accepted_.push_back(std::move(fd)); }
  void OnStopped() override { stopped_ = true; }

  std::unique_ptr<Listener> Open(const std::string& address, const ListenerOptions& options = {}) {
    absl::StatusOr<std::unique_ptr<Listener>> listener = Listener::Open(address, options);
    EXPECT_TRUE(listener.ok()) << listener.status();
    return std::move(*listener);
  }

  // Runs `body` on a green thread.
  void Run(const std::function<void()>& body) {
    scheduler_.Spawn([&] {
      body();
      scheduler_.Stop();
    });
    scheduler_.Run(&*loop_);
    EXPECT_EQ(ring_->in_flight(), 0u);
  }

  void Until(const std::function<bool()>& done) {
    for (int i = 0; i < 10'000; ++i) {
      if (done()) return;
      Sleep(&*loop_, Clock::Monotonic()->NowNs() + kNanosecondsPerMillisecond);
    }
    ADD_FAILURE() << "nothing happens";
  }

  void Stop(Listener* listener) {
    listener->Stop();
    Until([this] { return stopped_; });
  }

  green::Scheduler scheduler_;
  std::unique_ptr<Uring> ring_;
  std::optional<EventLoop> loop_;
  std::vector<UniqueFd> accepted_;
  bool stopped_ = false;
};

TEST_F(ListenerTest, AcceptsOnThePortTheKernelChose) {
  Run([this] {
    auto listener = Open("127.0.0.1:0");
    EXPECT_GT(listener->port(), 0);
    EXPECT_EQ(listener->address(), "127.0.0.1:" + std::to_string(listener->port()));
    listener->Start(&*loop_, this);
    std::vector<UniqueFd> clients;
    for (int i = 0; i < 20; ++i) clients.push_back(ConnectTo(*listener));
    Until([this] { return accepted_.size() == 20; });
    int no_delay = 0;
    socklen_t size = sizeof(no_delay);
    EXPECT_EQ(getsockopt(accepted_[0].get(), IPPROTO_TCP, TCP_NODELAY, &no_delay, &size), 0);
    EXPECT_EQ(no_delay, 1);
    Stop(listener.get());
  });
}

TEST_F(ListenerTest, EveryFormOfAddressIsUnderstood) {
  EXPECT_EQ(Open("localhost:0")->address().substr(0, 10), "127.0.0.1:");
  EXPECT_NE(Open("*:0")->port(), 0);
  EXPECT_NE(Open(":0")->port(), 0);
  if (UniqueFd probe(socket(AF_INET6, SOCK_STREAM, 0)); probe.valid()) {
    absl::StatusOr<std::unique_ptr<Listener>> listener = Listener::Open("[::1]:0");
    EXPECT_TRUE(!listener.ok() || (*listener)->address().substr(0, 6) == "[::1]:");
  }
  const std::string path = TemporaryPath("forms");
  EXPECT_EQ(Open("unix:" + path)->address(), "unix:" + path);
}

TEST_F(ListenerTest, BadAddressesAreRefusedWithAReason) {
  for (const char* address : {"", "8080", "host", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:65536", "127.0.0.1:-1",
                              "127.0.0.1:+1", "::1:80", "[::1]", "unix:"}) {
    const absl::Status status = Listener::Open(address).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << address << ": " << status;
  }
  EXPECT_EQ(Listener::Open("unix:" + std::string(200, 'x')).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(Listener::Open("192.0.2.1:0").ok());  // not ours (RFC 5737)
}

TEST_F(ListenerTest, PortInUseIsAnErrorAlsoWhenItsOwnerWouldShareIt) {
  auto first = Open("127.0.0.1:0", {.reuse_port = true});
  const std::string address = first->address();
  for (const bool reuse_port : {false, true}) {
    const absl::Status status = Listener::Open(address, {.reuse_port = reuse_port}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
    EXPECT_NE(std::string(status.message()).find(address + ": Address already in use"), std::string::npos) << status;
  }
}

TEST_F(ListenerTest, UnixSocketFileOfADeadServerIsReplacedAndOurOwnIsRemoved) {
  const std::string path = TemporaryPath("stale");
  {
    // Bound, never listening, closed without unlink: what a killed server leaves.
    const UniqueFd dead(socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    ASSERT_EQ(bind(dead.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  auto listener = Open("unix:" + path, {.unix_mode = 0600});
  struct stat file;
  ASSERT_EQ(lstat(path.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
  const absl::Status in_use = Listener::Open("unix:" + path).status();
  EXPECT_EQ(in_use.code(), absl::StatusCode::kAlreadyExists) << in_use;
  listener = nullptr;
  EXPECT_NE(lstat(path.c_str(), &file), 0);
}

TEST_F(ListenerTest, FilesThatAreNoSocketsAndSuccessorsSocketsAreLeftAlone) {
  const std::string path = TemporaryPath("file");
  UniqueFd(open(path.c_str(), O_CREAT | O_WRONLY, 0600));
  EXPECT_EQ(Listener::Open("unix:" + path).status().code(), absl::StatusCode::kAlreadyExists);
  ASSERT_EQ(unlink(path.c_str()), 0);
  auto listener = Open("unix:" + path);
  ASSERT_EQ(unlink(path.c_str()), 0);
  auto successor = Open("unix:" + path);
  listener = nullptr;
  struct stat file;
  EXPECT_EQ(lstat(path.c_str(), &file), 0);
}

TEST_F(ListenerTest, StopTakesWhatTheKernelHasQueued) {
  Run([this] {
    auto listener = Open("127.0.0.1:0");
    listener->Start(&*loop_, this);
    std::vector<UniqueFd> clients;
    for (int i = 0; i < 50; ++i) clients.push_back(ConnectTo(*listener));
    // The loop has not turned: all of them are in the kernel's queue.
    EXPECT_EQ(accepted_.size(), 0u);
    const int port = listener->port();
    Stop(listener.get());
    EXPECT_EQ(accepted_.size(), 50u);
    for (const UniqueFd& client : clients) EXPECT_EQ(write(client.get(), "x", 1), 1);
    listener = nullptr;
    EXPECT_TRUE(Listener::Open("127.0.0.1:" + std::to_string(port)).ok());
  });
}

TEST_F(ListenerTest, StopWaitsForTheFirstBytesOfConnectionsOnTheirWay) {
  Run([this] {
    auto listener = Open("127.0.0.1:0");
    listener->Start(&*loop_, this);
    sockaddr_storage address{};
    socklen_t size = sizeof(address);
    ASSERT_EQ(getsockname(listener->fd(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    const UniqueFd client(socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(connect(client.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    Sleep(&*loop_, Clock::Monotonic()->NowNs() + 5 * kNanosecondsPerMillisecond);
    EXPECT_EQ(accepted_.size(), 0u) << "is not to be accepted before it has sent something";
    listener->Stop();
    Sleep(&*loop_, Clock::Monotonic()->NowNs() + kNanosecondsPerMillisecond);
    EXPECT_EQ(write(client.get(), "x", 1), 1);
    Until([this] { return stopped_; });
    EXPECT_EQ(accepted_.size(), 1u);
  });
}

TEST_F(ListenerTest, WithoutDeferralASilentConnectionIsAccepted) {
  Run([this] {
    auto listener = Open("127.0.0.1:0", {.defer_accept = false});
    listener->Start(&*loop_, this);
    sockaddr_storage address{};
    socklen_t size = sizeof(address);
    ASSERT_EQ(getsockname(listener->fd(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    const UniqueFd client(socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(connect(client.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    Until([this] { return accepted_.size() == 1; });
    Stop(listener.get());
  });
}

TEST_F(ListenerTest, AdoptedSocketIsAcceptedOnButItsQueueIsLeftToTheOthers) {
  Run([this] {
    auto master = Open("127.0.0.1:0");
    auto listener = Listener::Adopt(UniqueFd(dup(master->fd()))).value();
    EXPECT_EQ(listener->address(), master->address());
    listener->Start(&*loop_, this);
    const UniqueFd served = ConnectTo(*listener);
    Until([this] { return accepted_.size() == 1; });
    listener->Stop();
    Until([this] { return stopped_; });
    listener = nullptr;
    const UniqueFd waiting = ConnectTo(*master);
    EXPECT_TRUE(waiting.valid());
    const UniqueFd by_another(accept(master->fd(), nullptr, nullptr));
    EXPECT_TRUE(by_another.valid());
    EXPECT_EQ(accepted_.size(), 1u);
  });
  EXPECT_FALSE(Listener::Adopt(UniqueFd(socket(AF_INET, SOCK_STREAM, 0))).ok());
  EXPECT_FALSE(Listener::Adopt(UniqueFd(dup(0))).ok());
}

// The kernel has woken the first one, which is told to stop before it has seen that.
TEST_F(ListenerTest, WhoeverWasWokenForAConnectionTakesItAlsoWhenItStops) {
  Run([this] {
    auto master = Open("127.0.0.1:0");
    auto first = Listener::Adopt(UniqueFd(dup(master->fd()))).value();
    auto second = Listener::Adopt(UniqueFd(dup(master->fd()))).value();
    for (Listener* listener : {first.get(), second.get()}) {
      listener->Start(&*loop_, this);
      Sleep(&*loop_, Clock::Monotonic()->NowNs() + kNanosecondsPerMillisecond);
    }
    const UniqueFd clients[] = {ConnectTo(*master), ConnectTo(*master), ConnectTo(*master)};
    first->Stop();
    Until([this] { return stopped_ && accepted_.size() == 3; });
    stopped_ = false;
    Stop(second.get());
  });
}

TEST_F(ListenerTest, OutOfDescriptorsPausesInsteadOfSpinning) {
  Run([this] {
    auto listener = Open("127.0.0.1:0");
    listener->Start(&*loop_, this);
    std::vector<UniqueFd> clients;
    for (int i = 0; i < 3; ++i) clients.push_back(ConnectTo(*listener));
    ::testing::internal::CaptureStderr();
    // No descriptor beyond those that are open.
    rlimit old_limit;
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &old_limit), 0);
    const rlimit none{static_cast<rlim_t>(dup(0)), old_limit.rlim_max};
    close(static_cast<int>(none.rlim_cur));
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    const uint64_t before = loop_->stats().completions;
    const int64_t end_ns = Clock::Monotonic()->NowNs() + 2 * Listener::kExhaustedPauseNs;
    while (Clock::Monotonic()->NowNs() < end_ns) Sleep(&*loop_, end_ns);
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &old_limit), 0);
    const std::string log = ::testing::internal::GetCapturedStderr();
    EXPECT_LE(loop_->stats().completions - before, 5u);
    EXPECT_EQ(log, "greenring: accepting on " + listener->address() + " pauses: Too many open files\n");
    EXPECT_EQ(accepted_.size(), 0u);
    Until([this] { return accepted_.size() == 3; });
    Stop(listener.get());
  });
}

TEST_F(ListenerTest, StopWhilePausedOrBeforeStartEnds) {
  Run([this] {
    auto never_started = Open("127.0.0.1:0");
    never_started->Stop();
    auto listener = Open("127.0.0.1:0");
    listener->Start(&*loop_, this);
    const UniqueFd client = ConnectTo(*listener);
    rlimit old_limit;
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &old_limit), 0);
    const rlimit none{static_cast<rlim_t>(dup(0)), old_limit.rlim_max};
    close(static_cast<int>(none.rlim_cur));
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    Sleep(&*loop_, Clock::Monotonic()->NowNs() + 5 * kNanosecondsPerMillisecond);
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &old_limit), 0);
    Stop(listener.get());
    EXPECT_EQ(accepted_.size(), 1u);
  });
}

}  // namespace
}  // namespace greenring::ioloop
