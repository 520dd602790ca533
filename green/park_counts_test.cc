#include "green/park_counts.h"

#include <map>
#include <string>
#include <vector>

#include "green/scheduler.h"
#include "green/scoped_wait.h"
#include "gtest/gtest.h"
#include "testing/sim_clock.h"
#include "testing/sim_poller.h"

namespace greenring::green {
namespace {

std::map<std::string, uint64_t> Counted(const ParkCounts& counts) {
  std::map<std::string, uint64_t> counted;
  counts.ForEach([&](const char* call, uint64_t count) { counted[call != nullptr ? call : "(none)"] += count; });
  return counted;
}

TEST(ParkCountsTest, CountsEachCallByItself) {
  ParkCounts counts;
  EXPECT_TRUE(Counted(counts).empty());
  for (int i = 0; i < 3; ++i) counts.Add("recv");
  counts.Add("connect");
  counts.Add(nullptr);
  EXPECT_EQ(Counted(counts), (std::map<std::string, uint64_t>{{"recv", 3}, {"connect", 1}, {"(none)", 1}}));
}

TEST(ParkCountsTest, WhatDoesNotFitIsCountedTogether) {
  ParkCounts counts;
  const std::vector<char> names(ParkCounts::kCallsMax + 10);
  for (int round = 0; round < 2; ++round) {
    for (const char& name : names) counts.Add(&name);
  }
  size_t calls = 0;
  uint64_t others = 0;
  counts.ForEach([&](const char* call, uint64_t count) {
    if (call >= names.data() && call < names.data() + names.size()) {
      ++calls;
      EXPECT_EQ(count, 2u);
    } else {
      others += count;
    }
  });
  EXPECT_EQ(calls, ParkCounts::kCallsMax);
  EXPECT_EQ(others, 20u);
}

TEST(ParkCountsTest, ASchedulerCountsParksThatWaitAndNoOthers) {
  testing::SimClock clock;
  testing::SimPoller poller(&clock);
  Scheduler scheduler({.clock = &clock});
  scheduler.Spawn([&] {
    GreenThread* const self = scheduler.current();
    {
      const ScopedWait wait(self, {.call = "sleep"});
      scheduler.Park(clock.NowNs() + 10);
      scheduler.Park(clock.NowNs() + 10);
      scheduler.Unpark(self);
      scheduler.Park();  // has its permit: it does not wait
      scheduler.Yield();
    }
    {
      const ScopedWait wait(self, {.call = "idle", .kind = WaitNote::Kind::kIdle});
      scheduler.Park(clock.NowNs() + 10);  // that there is nothing to do is no wait of anybody's
    }
    scheduler.Park(clock.NowNs() + 10);
    scheduler.Stop();
  });
  scheduler.Run(&poller);
  EXPECT_EQ(Counted(scheduler.park_counts()), (std::map<std::string, uint64_t>{{"sleep", 2}, {"(none)", 1}}));
}

}  // namespace
}  // namespace greenring::green
