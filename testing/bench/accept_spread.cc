// How the kernel spreads connections over processes, and what it costs: one listening socket that all accept from, or a
// socket for each in a SO_REUSEPORT group, chosen by one rule or another. docs/PROCESSES.md has the results.
//
//   bazel run //testing/bench:accept_spread -- 2          # workers
//
// Each worker accepts on an io_uring as the server does, answers and closes. Two loads: connections that carry one
// request each, 32 at a time (their rate, and the workers' CPU time for one); and rounds of 64 connections that are
// kept (how many of them the busiest worker has).
#include <linux/filter.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "base/listening_socket.h"
#include "green/scheduler.h"
#include "ioloop/event_loop.h"
#include "ioloop/listener.h"
#include "ioloop/uring.h"

namespace {

using greenring::Clock;
using greenring::kNanosecondsPerSecond;
using greenring::ListeningSocket;
using greenring::UniqueFd;

constexpr int kWorkersMax = 64;
constexpr int kConcurrent = 32;
constexpr int kHeld = 64;
constexpr int kRounds = 200;
constexpr int64_t kRateNs = 3 * kNanosecondsPerSecond;
constexpr char kAnswer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

struct Shared {
  std::atomic<int64_t> accepted[kWorkersMax];
};

struct Rule {
  const char* name;
  bool shared;
  bool by_turns;
  std::vector<sock_filter> choose;  // loads a number; empty: the kernel's own hash
};

std::vector<sock_filter> Load(int extension) {
  return {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<__u32>(SKF_AD_OFF + extension))};
}

// The client's port by two: the ports of one client machine follow each other so.
std::vector<sock_filter> LoadPort() {
  return {BPF_STMT(BPF_LD | BPF_H | BPF_ABS, static_cast<__u32>(SKF_NET_OFF + 20)),
          BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 1)};
}

class Acceptor final : public greenring::ioloop::Listener::Handler {
 public:
  explicit Acceptor(std::atomic<int64_t>* count) : count_(count) {}

  void OnAccept(UniqueFd fd) override {
    count_->fetch_add(1, std::memory_order_relaxed);
    char request[256];
    if (recv(fd.get(), request, sizeof(request), MSG_DONTWAIT) <= 0) return;
    if (request[0] == 'h') return held_.push_back(std::move(fd));  // until the next round
    if (request[0] == 'r') held_.clear();
    if (send(fd.get(), kAnswer, sizeof(kAnswer) - 1, MSG_NOSIGNAL) < 0) return;
  }
  void OnStopped() override {}

 private:
  std::atomic<int64_t>* const count_;
  std::vector<UniqueFd> held_;
};

[[noreturn]] void Work(int fd, bool by_turns, std::atomic<int64_t>* count) {
  auto ring = greenring::ioloop::Uring::Create({}).value();
  greenring::green::Scheduler scheduler;
  greenring::ioloop::EventLoop loop(ring.get(), &scheduler);
  auto listener = greenring::ioloop::Listener::Adopt(UniqueFd(fd), by_turns).value();
  Acceptor acceptor(count);
  listener->Start(&loop, &acceptor);
  scheduler.Run(&loop);
  std::abort();
}

int Connect(int port, int flags) {
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  const linger reset = {1, 0};  // or the ports run out
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
  connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to));
  return fd;
}

// Connections with one request each.
int64_t LoadForAWhile(int port) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  const auto begin = [&] {
    const int fd = Connect(port, 0);
    GREENRING_CHECK(send(fd, "GET", 3, MSG_NOSIGNAL) == 3);
    epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  };
  for (int i = 0; i < kConcurrent; ++i) begin();
  int64_t done = 0;
  const int64_t end_ns = Clock::Monotonic()->NowNs() + kRateNs;
  while (Clock::Monotonic()->NowNs() < end_ns) {
    epoll_event events[kConcurrent];
    const int count = epoll_wait(epoll, events, kConcurrent, 1000);
    for (int i = 0; i < count; ++i) {
      close(events[i].data.fd);
      ++done;
      begin();
    }
  }
  close(epoll);
  return done;
}

// The mean share of the busiest worker in rounds of connections that stay.
double HoldRounds(int port, int workers, Shared* shared) {
  double sum = 0;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<int64_t> before;
    for (int i = 0; i < workers; ++i) before.push_back(shared->accepted[i].load());
    std::vector<UniqueFd> held;
    for (int i = 0; i < kHeld; ++i) {
      held.emplace_back(Connect(port, 0));
      GREENRING_CHECK(send(held.back().get(), "hold", 4, MSG_NOSIGNAL) == 4);
    }
    int64_t most = 0;
    for (int64_t total = 0; total < kHeld;) {
      usleep(200);
      total = most = 0;
      for (int i = 0; i < workers; ++i) {
        const int64_t count = shared->accepted[i].load() - before[static_cast<size_t>(i)];
        total += count;
        most = std::max(most, count);
      }
    }
    sum += static_cast<double>(most) / kHeld;
  }
  return sum / kRounds;
}

double CpuSecondsOfChildren() {
  rusage usage;
  getrusage(RUSAGE_CHILDREN, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

void Attach(const Rule& rule, int fd, int workers) {
  if (rule.choose.empty()) return;
  std::vector<sock_filter> program = rule.choose;
  program.push_back(BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, static_cast<__u32>(workers)));
  program.push_back(BPF_STMT(BPF_RET | BPF_A, 0));
  const sock_fprog attached = {.len = static_cast<unsigned short>(program.size()), .filter = program.data()};
  GREENRING_CHECK(setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &attached, sizeof(attached)) == 0);
}

void Measure(const Rule& rule, int workers, Shared* shared) {
  std::vector<ListeningSocket> sockets;
  sockets.push_back(ListeningSocket::Open("127.0.0.1:0", {.reuse_port = true}).value());
  while (!rule.shared && static_cast<int>(sockets.size()) < workers) {
    sockets.push_back(sockets.front().OpenAnother({.reuse_port = true}).value());
  }
  if (!rule.shared) Attach(rule, sockets.front().fd(), workers);
  const double cpu_before_s = CpuSecondsOfChildren();
  std::vector<pid_t> pids;
  for (int i = 0; i < workers; ++i) {
    shared->accepted[i].store(0);
    pids.push_back(fork());
    if (pids.back() == 0)
      Work(dup(sockets[rule.shared ? 0 : static_cast<size_t>(i)].fd()), rule.by_turns, &shared->accepted[i]);
  }
  const int port = sockets.front().port();
  const int64_t done = LoadForAWhile(port);
  std::string shares;
  for (int i = 0; i < workers; ++i) {
    const int64_t percent = 100 * shared->accepted[i].load() / std::max<int64_t>(done, 1);
    shares += (i == 0 ? "" : "/") + std::to_string(percent);
  }
  usleep(100'000);
  const double busiest = HoldRounds(port, workers, shared);
  for (const pid_t pid : pids) kill(pid, SIGTERM);
  for (const pid_t pid : pids) waitpid(pid, nullptr, 0);
  const double cpu_s = CpuSecondsOfChildren() - cpu_before_s;
  std::printf("%-22s %9.0f/s %6.1f us  shares %-16s  busiest of %d holds %4.1f of %d\n", rule.name,
              static_cast<double>(done) * 1e9 / static_cast<double>(kRateNs),
              1e6 * cpu_s / static_cast<double>(done + kHeld * kRounds), shares.c_str(), workers, busiest * kHeld,
              kHeld);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const int workers = argc > 1 ? std::atoi(argv[1]) : 2;
  GREENRING_CHECK(workers >= 1 && workers <= kWorkersMax);
  signal(SIGPIPE, SIG_IGN);
  void* const memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  Shared* const shared = new (memory) Shared;
  for (const Rule& rule : std::vector<Rule>{{"one shared, multishot", true, false, {}},
                                            {"one shared, by turns", true, true, {}},
                                            {"group, kernel's hash", false, false, {}},
                                            {"group, random", false, false, Load(SKF_AD_RANDOM)},
                                            {"group, rxhash", false, false, Load(SKF_AD_RXHASH)},
                                            {"group, cpu", false, false, Load(SKF_AD_CPU)},
                                            {"group, client's port/2", false, false, LoadPort()}}) {
    Measure(rule, workers, shared);
  }
}
