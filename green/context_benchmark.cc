// The cost of a switch out and back in (two switches), for each engine.
#include <memory>

#include "benchmark/benchmark.h"
#include "green/context.h"

namespace greenring::green {
namespace {

struct Pair {
  Engine engine;
  Context main, thread;
};

void BM_SwitchPair(benchmark::State& state) {
  constexpr size_t kStackBytes = 64 * 1024;
  auto stack = std::make_unique<std::byte[]>(kStackBytes);
  Pair pair{static_cast<Engine>(state.range(0)), {}, {}};
  pair.thread.Make(
      pair.engine, stack.get(), kStackBytes,
      [](void* argument) {
        Pair* pair = static_cast<Pair*>(argument);
        for (;;) SwitchContext(&pair->thread, &pair->main);
      },
      &pair);
  for (auto _ : state) SwitchContext(&pair.main, &pair.thread);
  state.SetLabel(std::string(EngineName(pair.engine)));
}
BENCHMARK(BM_SwitchPair)->Arg(static_cast<int>(Engine::kUcontext))->Arg(static_cast<int>(Engine::kFcontext));

}  // namespace
}  // namespace greenring::green

BENCHMARK_MAIN();
