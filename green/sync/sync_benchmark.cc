// What the tools cost: without a wait, and with one that is answered at once.
#include <string>

#include "benchmark/benchmark.h"
#include "green/scheduler.h"
#include "green/sync/channel.h"
#include "green/sync/go.h"
#include "green/sync/mutex.h"
#include "green/sync/select.h"
#include "green/sync/semaphore.h"

namespace greenring::green {
namespace {

class NullPoller : public Poller {
 public:
  void Poll(int64_t) override {}
  void Wake() override {}
};

// Runs `body`, which has `state`'s loop, on a green thread of the engine that the benchmark's argument names.
template <typename F>
void RunOnGreenThread(benchmark::State& state, F body) {
  Scheduler scheduler({.engine = static_cast<Engine>(state.range(0))});
  NullPoller poller;
  Go(&scheduler, [&] {
    body();
    scheduler.Stop();
  });
  scheduler.Run(&poller);
  while (scheduler.stats().live > 0) scheduler.RunReady();
  state.SetLabel(std::string(EngineName(scheduler.engine())));
}

void BM_MutexLockUnlock(benchmark::State& state) {
  RunOnGreenThread(state, [&] {
    Mutex mutex;
    for (auto _ : state) {
      MutexLock lock(&mutex);
      benchmark::ClobberMemory();
    }
  });
}
BENCHMARK(BM_MutexLockUnlock)->Arg(0);

void BM_SemaphoreAcquireRelease(benchmark::State& state) {
  RunOnGreenThread(state, [&] {
    Semaphore semaphore(1);
    for (auto _ : state) {
      if (semaphore.Acquire() == WaitResult::kDone) semaphore.Release();
    }
  });
}
BENCHMARK(BM_SemaphoreAcquireRelease)->Arg(0);

void BM_BufferedSendReceive(benchmark::State& state) {
  RunOnGreenThread(state, [&] {
    Channel<int> channel(16);
    for (auto _ : state) {
      channel.Send(1);
      benchmark::DoNotOptimize(channel.Receive());
    }
  });
}
BENCHMARK(BM_BufferedSendReceive)->Arg(0);

void BM_SelectOfTwoReady(benchmark::State& state) {
  RunOnGreenThread(state, [&] {
    Channel<int> a(1), b(1);
    for (auto _ : state) {
      a.TrySend(1);
      b.TrySend(1);
      Select(OnReceive(&a, [](std::optional<int>) {}), OnReceive(&b, [](std::optional<int>) {}));
    }
  });
}
BENCHMARK(BM_SelectOfTwoReady)->Arg(0);

// There and back again between two green threads: four channel operations, two switches.
void BM_UnbufferedPingPong(benchmark::State& state) {
  Channel<int> there, back;
  RunOnGreenThread(state, [&] {
    Go([&] {
      for (int value : there) back.Send(value);
    });
    for (auto _ : state) {
      there.Send(1);
      benchmark::DoNotOptimize(back.Receive());
    }
    there.Close();
  });
}
BENCHMARK(BM_UnbufferedPingPong)->Arg(0)->Arg(1);

void BM_SelectPingPong(benchmark::State& state) {
  Channel<int> there, back, quiet;
  RunOnGreenThread(state, [&] {
    Go([&] {
      bool open = true;
      while (open) {
        Select(OnReceive(&there, [&](std::optional<int> value) { open = value.has_value() && back.Send(*value); }),
               OnReceive(&quiet, [](std::optional<int>) {}));
      }
    });
    for (auto _ : state) {
      there.Send(1);
      benchmark::DoNotOptimize(back.Receive());
    }
    there.Close();
  });
}
BENCHMARK(BM_SelectPingPong)->Arg(0)->Arg(1);

// Two green threads take turns: each unlock hands the lock over, each lock waits.
void BM_MutexHandOver(benchmark::State& state) {
  Mutex mutex;
  bool done = false;
  RunOnGreenThread(state, [&] {
    Go([&] {
      while (!done) {
        MutexLock lock(&mutex);
        Scheduler::Current()->Yield();
      }
    });
    for (auto _ : state) {
      MutexLock lock(&mutex);
      Scheduler::Current()->Yield();
    }
    done = true;
  });
}
BENCHMARK(BM_MutexHandOver)->Arg(0)->Arg(1);

}  // namespace
}  // namespace greenring::green

BENCHMARK_MAIN();
