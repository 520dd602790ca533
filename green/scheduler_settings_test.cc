// Engines and stack sizes that change while green threads are alive.
#include <algorithm>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "green/scheduler.h"
#include "gtest/gtest.h"
#include "testing/sim_clock.h"
#include "testing/sim_poller.h"

namespace greenring::green {
namespace {

constexpr SpawnSettings kSmall = {.engine = Engine::kUcontext, .stack_size_bytes = 64 * 1024};
constexpr SpawnSettings kLarge = {.engine = Engine::kFcontext, .stack_size_bytes = 512 * 1024};

class SchedulerSettingsTest : public ::testing::Test {
 protected:
  SchedulerSettingsTest() { scheduler_.SetSpawnSettings(kSmall); }
  ~SchedulerSettingsTest() override { EXPECT_EQ(scheduler_.stats().live, 0u); }

  // Runs until `ended` green threads have.
  void RunUntilEnded(const int* ended, int count) {
    while (*ended < count) scheduler_.RunReady();
  }

  testing::SimClock clock_;
  Scheduler scheduler_{{.clock = &clock_}};
};

TEST_F(SchedulerSettingsTest, HoldForGreenThreadsSpawnedFromThenOn) {
  bool go_on = false;
  GreenThread* const before = scheduler_.Spawn([&] {
    while (!go_on) scheduler_.Yield();
  });
  scheduler_.RunReady();
  scheduler_.SetSpawnSettings(kLarge);
  GreenThread* const after = scheduler_.Spawn([&] { scheduler_.Yield(); });
  EXPECT_EQ(before->stack().size_bytes, kSmall.stack_size_bytes);
  EXPECT_EQ(after->stack().size_bytes, kLarge.stack_size_bytes);
  EXPECT_FALSE(scheduler_.IsCurrentMake(*before));
  EXPECT_TRUE(scheduler_.IsCurrentMake(*after));
  EXPECT_EQ(scheduler_.engine(), Engine::kFcontext);
  scheduler_.RunReady();
  EXPECT_GT(scheduler_.StackUseBytes(*before), 0u);
  EXPECT_LT(scheduler_.StackUseBytes(*before), kSmall.stack_size_bytes);
  go_on = true;
  scheduler_.RunReady();
}

TEST_F(SchedulerSettingsTest, OneGreenThreadMayHaveItsOwn) {
  GreenThread* const other = scheduler_.Spawn([] {}, {.settings = kLarge});
  GreenThread* const one = scheduler_.Spawn([] {});
  EXPECT_EQ(other->stack().size_bytes, kLarge.stack_size_bytes);
  EXPECT_EQ(one->stack().size_bytes, kSmall.stack_size_bytes);
  scheduler_.RunReady();
}

TEST_F(SchedulerSettingsTest, WhatIsKeptForReuseIsUnmapped) {
  const std::byte* const kept = scheduler_.Spawn([] {})->stack().base;
  scheduler_.RunReady();
  EXPECT_TRUE(StackSlab::IsMapped(kept));
  scheduler_.SetSpawnSettings(kLarge);
  scheduler_.RunReady();
  EXPECT_FALSE(StackSlab::IsMapped(kept));
}

TEST_F(SchedulerSettingsTest, WhatLivesIsUnmappedWhenItHasEnded) {
  bool go_on = false;
  const GreenThread* const thread = scheduler_.Spawn([&] {
    while (!go_on) scheduler_.Yield();
  });
  const std::byte* const stack = thread->stack().base;
  scheduler_.SetSpawnSettings(kLarge);
  scheduler_.RunReady();
  EXPECT_TRUE(StackSlab::IsMapped(stack));
  go_on = true;
  scheduler_.RunReady();
  EXPECT_FALSE(StackSlab::IsMapped(stack));
}

TEST_F(SchedulerSettingsTest, ChunksWithoutALiveStackGoBeforeTheOthers) {
  // Two chunks and a bit; all of them end but the first.
  constexpr int kThreads = 3 * StackSlab::kStacksPerChunk;
  bool go_on = false, first_goes_on = false;
  int ended = 0;
  std::vector<const std::byte*> stacks;
  for (int i = 0; i < kThreads; ++i) {
    const bool* const until = i == 0 ? &first_goes_on : &go_on;
    stacks.push_back(scheduler_
                         .Spawn([this, until, &ended] {
                           while (!*until) scheduler_.Yield();
                           ++ended;
                         })
                         ->stack()
                         .base);
  }
  scheduler_.SetSpawnSettings(kLarge);
  go_on = true;
  RunUntilEnded(&ended, kThreads - 1);
  EXPECT_TRUE(StackSlab::IsMapped(stacks.front()));
  EXPECT_FALSE(StackSlab::IsMapped(stacks.back()));
  first_goes_on = true;
  RunUntilEnded(&ended, kThreads);
  EXPECT_FALSE(StackSlab::IsMapped(stacks.front()));
}

TEST_F(SchedulerSettingsTest, GoingBackInTimeKeepsWhatThereIs) {
  const std::byte* const stack = scheduler_.Spawn([] {})->stack().base;
  scheduler_.RunReady();
  scheduler_.SetSpawnSettings(kLarge);
  scheduler_.SetSpawnSettings(kSmall);
  scheduler_.RunReady();
  EXPECT_EQ(scheduler_.Spawn([] {})->stack().base, stack);
  scheduler_.RunReady();
}

TEST_F(SchedulerSettingsTest, OneThatIsInTheDoorStaysUntilItsUnpark) {
  GreenThread* const thread = scheduler_.Spawn([] {});
  const std::byte* const stack = thread->stack().base;
  testing::SimPoller poller(&clock_);
  scheduler_.SetSpawnSettings(kLarge);
  std::thread([&] { scheduler_.UnparkRemote(thread); }).join();
  scheduler_.RunReady();  // it ends, and nobody has looked into the door
  EXPECT_TRUE(StackSlab::IsMapped(stack));
  scheduler_.Spawn([&] { scheduler_.Stop(); });
  scheduler_.Run(&poller);
  EXPECT_FALSE(StackSlab::IsMapped(stack));
}

TEST_F(SchedulerSettingsTest, TheReportKnowsTheStacksThatAreGone) {
  scheduler_.Spawn([&] {
    volatile char deep[48 * 1024];
    for (size_t i = 0; i < sizeof(deep); i += 1024) deep[i] = 1;
    (void)deep[0];
  });
  scheduler_.RunReady();
  scheduler_.SetSpawnSettings(kLarge);
  scheduler_.RunReady();
  const StackReport report = scheduler_.ReportStacks();
  EXPECT_EQ(report.size_bytes, kLarge.stack_size_bytes);
  EXPECT_GE(report.deepest_bytes, 48u * 1024);
}

TEST_F(SchedulerSettingsTest, ForEachFindsThoseOfAllSettings) {
  bool go_on = false;
  const auto wait = [&] {
    while (!go_on) scheduler_.Yield();
  };
  std::vector<const GreenThread*> spawned;
  for (const SpawnSettings& settings : {kSmall, kLarge, kSmall, kLarge}) {
    scheduler_.SetSpawnSettings(settings);
    spawned.push_back(scheduler_.Spawn(wait));
    scheduler_.RunReady();
  }
  std::vector<const GreenThread*> found;
  scheduler_.ForEach([&](const GreenThread* thread) { found.push_back(thread); });
  std::sort(found.begin(), found.end());
  std::sort(spawned.begin(), spawned.end());
  EXPECT_EQ(found, spawned);
  go_on = true;
  scheduler_.RunReady();
}

// Everything at random: spawns, settings, parks, unparks, cancellations and deep stacks.
class Chaos {
 public:
  Chaos(Scheduler* scheduler, uint32_t seed) : scheduler_(scheduler), random_(seed) {}

  void Run(int steps) {
    while (steps-- > 0 || scheduler_->stats().live > 0) {
      if (steps > 0 && random_() % 3 == 0) ChangeSettings();
      if (steps > 0 && live_ < 150) Spawn();
      if (steps < 0) stopping_ = true;
      for (GreenThread* thread : parked_) scheduler_->Unpark(thread);
      scheduler_->RunReady();
    }
    EXPECT_EQ(started_, ended_);
    EXPECT_EQ(corrupt_, 0);
  }

 private:
  SpawnSettings RandomSettings() {
    constexpr size_t kSizes[] = {kStackSizeBytesMin, 64 * 1024, 256 * 1024};
    return {.engine = random_() % 2 == 0 ? Engine::kUcontext : Engine::kFcontext,
            .stack_size_bytes = kSizes[random_() % 3]};
  }

  void ChangeSettings() { scheduler_->SetSpawnSettings(RandomSettings()); }

  void Spawn() {
    ++started_;
    ++live_;
    SpawnOptions options;
    if (random_() % 4 == 0) options.settings = RandomSettings();
    scheduler_->Spawn([this, number = started_] { Live(number); }, options);
  }

  void Live(int number) {
    unsigned char pattern[512];
    memset(pattern, number & 0xff, sizeof(pattern));
    for (int rounds = static_cast<int>(random_() % 40); rounds > 0 && !stopping_; --rounds) {
      switch (random_() % 5) {
        case 0:
          Park();
          break;
        case 1:
          scheduler_->YieldToLoop();
          break;
        case 2:
          if (live_ < 200) Spawn();
          break;
        case 3:
          ChangeSettings();
          break;
        default:
          scheduler_->Yield();
      }
      for (unsigned char byte : pattern) corrupt_ += byte != (number & 0xff);
    }
    --live_;
    ++ended_;
  }

  void Park() {
    GreenThread* const self = scheduler_->current();
    parked_.push_back(self);
    scheduler_->Park();
    parked_.erase(std::find(parked_.begin(), parked_.end(), self));
  }

  Scheduler* const scheduler_;
  std::mt19937 random_;
  std::vector<GreenThread*> parked_;
  int live_ = 0;
  int started_ = 0;
  int ended_ = 0;
  int corrupt_ = 0;
  bool stopping_ = false;
};

TEST_F(SchedulerSettingsTest, EnginesAndSizesMixAtRandom) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    Chaos(&scheduler_, seed).Run(400);
  }
}

}  // namespace
}  // namespace greenring::green
