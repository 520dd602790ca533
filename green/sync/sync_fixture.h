// The tests' ground in this folder: a scheduler of either engine in simulated time.
//
//   class MutexTest : public SyncTest {};
//   TEST_P(MutexTest, ...) { Go(&scheduler_, [&] { ... }); RunToEnd(); }
//   GREENRING_INSTANTIATE_SYNC_TEST(MutexTest);
//
// RunToEnd fails when green threads wait for something that does not come.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "green/scheduler.h"
#include "green/sync/go.h"
#include "gtest/gtest.h"
#include "testing/sim_clock.h"
#include "testing/sim_poller.h"

namespace greenring::green {

inline constexpr int64_t kMs = kNanosecondsPerMillisecond;

class SyncTest : public ::testing::TestWithParam<Engine> {
 protected:
  // Runs until no green thread is left.
  void RunToEnd() {
    constexpr int64_t kSimulatedNsMax = 1000 * kNanosecondsPerSecond;  // far beyond any deadline of a test
    const int64_t start_ns = clock_.NowNs();
    scheduler_.Spawn([this, start_ns] {
      while (scheduler_.stats().live > 1) {
        scheduler_.Park(clock_.NowNs() + kMs);
        GREENRING_CHECK(clock_.NowNs() < start_ns + kSimulatedNsMax && "green threads wait for what does not come");
      }
      scheduler_.Stop();
    });
    scheduler_.Run(&poller_);
    EXPECT_EQ(scheduler_.stats().live, 0u);
  }

  int64_t InMs(int64_t milliseconds) const { return now_ns() + milliseconds * kMs; }
  int64_t now_ns() const { return scheduler_.clock()->NowNs(); }
  void SleepMs(int64_t milliseconds) { EXPECT_EQ(scheduler_.Park(InMs(milliseconds)), ParkResult::kTimedOut); }

  // On a green thread: fails when a wait before has left it a permit or a cancellation.
  void ExpectNoTrace() { EXPECT_EQ(scheduler_.Park(InMs(1)), ParkResult::kTimedOut) << "a wait left a permit behind"; }

  // Runs `function` on a green thread at the one instant that is hard to get right: when `deadline_ns` has ended the
  // waits that have it, but who waited has not run yet. To be called before the scheduler runs.
  template <typename F>
  void GoJustAfterDeadline(int64_t deadline_ns, F function) {
    Go(&scheduler_, [this, deadline_ns, function] {
      scheduler_.Park(deadline_ns - 1);  // its timer fires first: it runs first
      function();
    });
    Go(&scheduler_, [this, deadline_ns] { clock_.AdvanceTo(deadline_ns); });  // both timers in the same turn
  }

  testing::SimClock clock_;
  testing::SimPoller poller_{&clock_, /*deadlock_is_fatal=*/true};
  Scheduler scheduler_{{.engine = GetParam(), .clock = &clock_}};
  std::vector<int> trace_;
};

#define GREENRING_INSTANTIATE_SYNC_TEST(test)                                                      \
  INSTANTIATE_TEST_SUITE_P(Engines, test, ::testing::Values(Engine::kUcontext, Engine::kFcontext), \
                           [](const auto& info) { return std::string(EngineName(info.param)); })

}  // namespace greenring::green
