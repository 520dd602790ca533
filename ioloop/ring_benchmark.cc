// What the ring itself costs, without protocol and Python: a round trip through the kernel, an echo, and turns of a
// loop with 64 busy connections, per request.

#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "benchmark/benchmark.h"
#include "green/scheduler.h"
#include "ioloop/event_loop.h"
#include "ioloop/stream.h"
#include "ioloop/uring.h"

namespace greenring::ioloop {
namespace {

struct Counter final : Completion {
  void OnComplete(int32_t result, uint32_t flags) override { ++count; }
  uint64_t count = 0;
};

// One operation that completes at once: the price of a system call with one completion.
void BM_RoundTrip(benchmark::State& state) {
  auto ring = Uring::Create({}).value();
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) return state.SkipWithError("socketpair");
  Counter counter;
  for (auto _ : state) {
    ring->Send(fds[0], "", 0, MSG_NOSIGNAL, &counter);
    ring->SubmitAndWait(1, kNeverNs);
    ring->Reap();
  }
  state.SetItemsProcessed(static_cast<int64_t>(counter.count));
  close(fds[0]);
  close(fds[1]);
}
BENCHMARK(BM_RoundTrip);

// A turn of the loop in which nothing happens: the price of looking.
void BM_IdleTurn(benchmark::State& state) {
  auto ring = Uring::Create({}).value();
  for (auto _ : state) {
    ring->SubmitAndWait(1, 0);
    ring->Reap();
  }
}
BENCHMARK(BM_IdleTurn);

struct Echo final : Stream::Handler {
  void OnData(std::string_view data) override { stream->Append(data); }
  void OnEnd() override {}
  void OnError(int error_number) override {}
  void OnFlushed() override {}
  void OnClosed() override { stream.reset(); }
  std::unique_ptr<Stream> stream;
};

// `connections` peers each have sent a request; one turn answers all of them. Time per request, the peers' own two
// system calls included (BM_PeerOnly).
void BM_Turn(benchmark::State& state) {
  const size_t connections = static_cast<size_t>(state.range(0));
  auto ring = Uring::Create({}).value();
  green::Scheduler scheduler;
  EventLoop loop(ring.get(), &scheduler);
  std::vector<Echo> echoes(connections);
  std::vector<UniqueFd> peers(connections);
  for (size_t i = 0; i < connections; ++i) {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0) return state.SkipWithError("socketpair");
    peers[i].Reset(fds[1]);
    echoes[i].stream = std::make_unique<Stream>(&loop, UniqueFd(fds[0]), &echoes[i]);
    echoes[i].stream->StartReading();
  }
  char data[128] = {};
  const uint64_t calls = ring->system_calls();
  for (auto _ : state) {
    for (const UniqueFd& peer : peers) benchmark::DoNotOptimize(write(peer.get(), data, sizeof(data)));
    size_t answered = 0;
    while (answered < connections) {
      loop.Poll(0);
      while (answered < connections && read(peers[answered].get(), data, sizeof(data)) > 0) ++answered;
    }
  }
  const int64_t requests = static_cast<int64_t>(state.iterations() * connections);
  state.SetItemsProcessed(requests);
  state.counters["enters_per_request"] =
      static_cast<double>(ring->system_calls() - calls) / static_cast<double>(requests);
  for (Echo& echo : echoes) echo.stream->Close(CloseMode::kAbort);
  while (ring->in_flight() > 0) loop.Poll(0);
  loop.Poll(0);
}
BENCHMARK(BM_Turn)->Arg(1)->Arg(64);

// The part of BM_Turn that is its peers'.
void BM_PeerOnly(benchmark::State& state) {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0) return state.SkipWithError("socketpair");
  char data[128] = {};
  for (auto _ : state) {
    benchmark::DoNotOptimize(write(fds[0], data, sizeof(data)));
    benchmark::DoNotOptimize(read(fds[1], data, sizeof(data)));
  }
  state.SetItemsProcessed(state.iterations());
  close(fds[0]);
  close(fds[1]);
}
BENCHMARK(BM_PeerOnly);

}  // namespace
}  // namespace greenring::ioloop

BENCHMARK_MAIN();
