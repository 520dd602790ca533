#include "base/ticks.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace greenring {
namespace {

// One look at both: the clock's call lies between two looks at the counter, and is repeated until they are close.
struct Instant {
  uint64_t ticks;
  int64_t ns;
};

Instant BothNow() {
  constexpr int kTries = 5;
  Instant best{};
  uint64_t shortest = UINT64_MAX;
  for (int i = 0; i < kTries; ++i) {
    const uint64_t before = Ticks::Now();
    const int64_t ns = Clock::Monotonic()->NowNs();
    const uint64_t took = Ticks::Now() - before;
    if (took >= shortest) continue;
    shortest = took;
    best = {before + took / 2, ns};
  }
  return best;
}

}  // namespace

const bool Ticks::counter_is_steady_ = Ticks::CounterIsSteady();
const double Ticks::ns_per_tick_ = Ticks::MeasureNsPerTick();

bool Ticks::CounterIsSteady() {
#if defined(__x86_64__)
  // "Invariant TSC": the same speed in every state of the processor.
  constexpr unsigned kPowerLeaf = 0x80000007;
  constexpr unsigned kInvariant = 1u << 8;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(kPowerLeaf, &eax, &ebx, &ecx, &edx) != 0 && (edx & kInvariant) != 0;
#else
  return true;
#endif
}

double Ticks::MeasureNsPerTick() {
  if (!counter_is_steady_) return 1;
  constexpr int64_t kMeasuredNs = kNanosecondsPerMillisecond / 2;
  const Instant begin = BothNow();
  Instant end = BothNow();
  while (end.ns - begin.ns < kMeasuredNs) end = BothNow();
  return static_cast<double>(end.ns - begin.ns) / static_cast<double>(end.ticks - begin.ticks);
}

}  // namespace greenring
