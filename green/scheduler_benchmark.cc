// What the scheduler's own steps cost: a yield, a spawn on a recycled stack, a park with its unpark.
#include <sys/resource.h>

#include <cstdio>
#include <cstring>

#include "benchmark/benchmark.h"
#include "green/scheduler.h"

namespace greenring::green {
namespace {

class NullPoller : public Poller {
 public:
  void Poll(int64_t) override {}
  void Wake() override {}
};

SchedulerOptions OptionsOf(const benchmark::State& state) { return {.engine = static_cast<Engine>(state.range(0))}; }

// Runs `state`'s loop inside a green thread.
template <typename F>
void RunInGreenThread(Scheduler* scheduler, F body) {
  NullPoller poller;
  scheduler->Spawn([&] {
    body();
    scheduler->Stop();
  });
  scheduler->Run(&poller);
}

void BM_YieldRoundTrip(benchmark::State& state) {
  Scheduler scheduler(OptionsOf(state));
  bool done = false;
  scheduler.Spawn([&] {
    while (!done) scheduler.Yield();
  });
  RunInGreenThread(&scheduler, [&] {
    for (auto _ : state) scheduler.Yield();
    done = true;
    scheduler.Yield();
  });
  state.SetLabel(std::string(EngineName(scheduler.engine())));
}
BENCHMARK(BM_YieldRoundTrip)->Arg(0)->Arg(1);

void BM_SpawnOnRecycledStack(benchmark::State& state) {
  Scheduler scheduler(OptionsOf(state));
  RunInGreenThread(&scheduler, [&] {
    for (auto _ : state) {
      scheduler.Spawn([] {});
      scheduler.Yield();
    }
  });
  state.SetLabel(std::string(EngineName(scheduler.engine())));
}
BENCHMARK(BM_SpawnOnRecycledStack)->Arg(0)->Arg(1);

void BM_ParkUnpark(benchmark::State& state) {
  Scheduler scheduler(OptionsOf(state));
  bool done = false;
  GreenThread* parked = scheduler.Spawn([&] {
    while (!done) scheduler.Park();
  });
  RunInGreenThread(&scheduler, [&] {
    for (auto _ : state) {
      scheduler.Unpark(parked);
      scheduler.Yield();
    }
    done = true;
    scheduler.Unpark(parked);
    scheduler.Yield();
  });
  state.SetLabel(std::string(EngineName(scheduler.engine())));
}
BENCHMARK(BM_ParkUnpark)->Arg(0)->Arg(1);

size_t ResidentBytes() {
  size_t total_pages = 0, resident_pages = 0;
  std::FILE* statm = std::fopen("/proc/self/statm", "r");
  if (statm == nullptr || std::fscanf(statm, "%zu %zu", &total_pages, &resident_pages) != 2) resident_pages = 0;
  if (statm != nullptr) std::fclose(statm);
  return resident_pages * StackSlab::page_size_bytes();
}

// 100,000 parked green threads at once; the counter is the resident memory of each.
void BM_ManyParked(benchmark::State& state) {
  const int64_t count = state.range(1);
  for (auto _ : state) {
    Scheduler scheduler(OptionsOf(state));
    const size_t before_bytes = ResidentBytes();
    std::vector<GreenThread*> parked;
    parked.reserve(count);
    for (int64_t i = 0; i < count; ++i) parked.push_back(scheduler.Spawn([&] { scheduler.Park(); }));
    while (parked.back()->state() != GreenThread::State::kParked) scheduler.RunReady();
    state.counters["resident_bytes_each"] = static_cast<double>(ResidentBytes() - before_bytes) / count;
    for (GreenThread* thread : parked) scheduler.Unpark(thread);
    while (scheduler.stats().live > 0) scheduler.RunReady();
  }
  state.SetLabel(std::string(EngineName(static_cast<Engine>(state.range(0)))));
}
BENCHMARK(BM_ManyParked)->Args({0, 100000})->Args({1, 100000})->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace greenring::green

BENCHMARK_MAIN();
