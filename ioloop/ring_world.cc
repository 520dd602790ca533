#include "ioloop/ring_world.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>

#include "base/check.h"
#include "ioloop/uring.h"
#include "testing/sim_clock.h"
#include "testing/sim_ring.h"

namespace greenring::ioloop {
namespace {

class UringWorld final : public RingWorld {
 public:
  explicit UringWorld(std::unique_ptr<Uring> ring) : ring_(std::move(ring)) {}

  Ring* ring() override { return ring_.get(); }
  Clock* clock() override { return Clock::Monotonic(); }

  std::pair<int, int> SocketPair() override {
    int fds[2];
    GREENRING_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    return {fds[0], fds[1]};
  }

  std::pair<int, int> Pipe() override {
    int fds[2];
    GREENRING_CHECK(pipe2(fds, O_CLOEXEC) == 0);
    return {fds[0], fds[1]};
  }

  int File(const std::string& content) override {
    const int fd = memfd_create("content", MFD_CLOEXEC);
    GREENRING_CHECK(write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
    return fd;
  }

  std::string PathOf(int fd) override { return "/proc/self/fd/" + std::to_string(fd); }

  int Socket() override { return socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

  std::pair<int, uint16_t> Listen() override {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = Address(0);
    socklen_t size = sizeof(address);
    GREENRING_CHECK(bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 && listen(fd, 128) == 0);
    GREENRING_CHECK(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    return {fd, ntohs(address.sin_port)};
  }

  int PeerConnect(uint16_t port) override {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = Address(port);
    GREENRING_CHECK(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
  }

  size_t PeerWrite(int peer, std::string_view data) override {
    const ssize_t size = send(peer, data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return size < 0 ? 0 : static_cast<size_t>(size);
  }

  std::string PeerRead(int peer) override {
    std::string all;
    char part[4096];
    ssize_t size;
    while ((size = recv(peer, part, sizeof(part), MSG_DONTWAIT)) > 0) all.append(part, static_cast<size_t>(size));
    return all;
  }

  bool PeerSeesEnd(int peer) override {
    char byte;
    return recv(peer, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
  }

  void PeerShutdown(int peer) override { GREENRING_CHECK(shutdown(peer, SHUT_WR) == 0); }
  void PeerClose(int peer) override { GREENRING_CHECK(close(peer) == 0); }

  size_t OpenDescriptors() override {
    size_t count = 0;
    DIR* const directory = opendir("/proc/self/fd");
    while (readdir(directory) != nullptr) ++count;
    closedir(directory);
    return count;
  }

 private:
  static sockaddr_in Address(uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }

  const std::unique_ptr<Uring> ring_;
};

class SimWorld final : public RingWorld {
 public:
  explicit SimWorld(const testing::SimRingOptions& options) : ring_(&clock_, options) {}

  Ring* ring() override { return &ring_; }
  Clock* clock() override { return &clock_; }
  std::pair<int, int> SocketPair() override { return ring_.SocketPair(); }
  std::pair<int, int> Pipe() override { return ring_.Pipe(); }
  int File(const std::string& content) override { return ring_.File(content); }
  std::string PathOf(int fd) override { return testing::SimRing::PathOf(fd); }
  int Socket() override { return ring_.Socket(); }
  std::pair<int, uint16_t> Listen() override { return {ring_.Listen(80), 80}; }
  int PeerConnect(uint16_t port) override { return ring_.PeerConnect(port); }
  size_t PeerWrite(int peer, std::string_view data) override { return ring_.PeerWrite(peer, data); }
  std::string PeerRead(int peer) override { return ring_.PeerRead(peer); }
  bool PeerSeesEnd(int peer) override { return ring_.PeerSeesEnd(peer); }
  void PeerShutdown(int peer) override { ring_.PeerShutdown(peer); }
  void PeerClose(int peer) override { ring_.PeerClose(peer); }
  size_t OpenDescriptors() override { return ring_.open_count(); }

 private:
  testing::SimClock clock_;
  testing::SimRing ring_;
};

WorldKind UringKind(std::string name, uint32_t features_masked) {
  return {std::move(name), [features_masked](const WorldOptions& options) -> std::unique_ptr<RingWorld> {
            UringOptions uring;
            uring.submissions_max = options.submissions_max;
            uring.buffers_initial = options.buffers_initial;
            uring.buffers_max = options.buffers_max;
            uring.buffer_size_bytes = options.buffer_size_bytes;
            uring.features_masked = features_masked;
            uring.completions_max = 256;
            absl::StatusOr<std::unique_ptr<Uring>> ring = Uring::Create(uring);
            // A ring's memory counts against the limit of locked memory until the kernel has torn it down, some time
            // after its close: hundreds of rings, one a test, can be too many for a moment.
            for (int i = 0; i < 10'000 && absl::IsResourceExhausted(ring.status()); ++i) {
              poll(nullptr, 0, 1);
              ring = Uring::Create(uring);
            }
            if (!ring.ok()) {
              std::fprintf(stderr, "%s\n", ring.status().ToString().c_str());
              return nullptr;
            }
            return std::make_unique<UringWorld>(std::move(*ring));
          }};
}

WorldKind SimKind(std::string name, uint64_t seed, bool multishot) {
  return {std::move(name), [seed, multishot](const WorldOptions& options) -> std::unique_ptr<RingWorld> {
            return std::make_unique<SimWorld>(testing::SimRingOptions{.seed = seed,
                                                                      .buffer_count = options.buffers_max,
                                                                      .buffer_size_bytes = options.buffer_size_bytes,
                                                                      .multishot = multishot});
          }};
}

}  // namespace

std::vector<WorldKind> AllWorlds() {
  using Options = UringOptions;
  return {
      UringKind("Uring", 0),
      UringKind("UringWithoutDeferTaskrun", Options::kDeferTaskrun),
      UringKind("UringWithoutSingleIssuer", Options::kSingleIssuer),
      UringKind("UringWithoutMultishotRecv", Options::kMultishotRecv),
      UringKind("UringWithoutInferredSend", Options::kInferredSend),
      UringKind("UringWithoutCoopTaskrun", Options::kCoopTaskrun),
      UringKind("UringWithoutMultishotAccept", Options::kMultishotAccept),
      UringKind("UringWithoutBufferRing", Options::kBufferRing),
      UringKind("UringWithoutSubmitAll", Options::kSubmitAll),
      UringKind("UringWithoutRegisteredRing", Options::kRegisteredRing),
      UringKind("UringWithoutSkipSuccess", Options::kSkipSuccess),
      UringKind("UringWithoutAbsoluteTimeout", Options::kAbsoluteTimeout),
      UringKind("UringWithoutGather", Options::kGather),
      UringKind("UringAsLinux6_0",
                Options::kDeferTaskrun | Options::kAbsoluteTimeout | Options::kGather | Options::kNoIowait),
      UringKind("UringAsLinux5_15", Options::kAllFeatures),
      SimKind("Sim", 0, true),
      SimKind("SimPermuted", 1, true),
      SimKind("SimWithoutMultishot", 2, false),
  };
}

}  // namespace greenring::ioloop
