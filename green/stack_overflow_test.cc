#include "green/stack_overflow.h"

#include <alloca.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "base/sanitizers.h"
#include "green/scheduler.h"
#include "gtest/gtest.h"
#include "testing/sim_clock.h"
#include "testing/sim_poller.h"

namespace greenring::green {
namespace {

constexpr size_t kStackBytes = 64 * 1024;

int alarms = 0;

// Not a tail call, and not to be optimised into a loop. Ends where `end` says so.
__attribute__((noinline)) int Recurse(int level, const std::function<bool()>& end) {
  volatile char frame[256];
  frame[0] = static_cast<char>(level);
  return end() ? level : Recurse(level + 1, end) + frame[0] - frame[0];
}

int RecurseForEver() {
  return Recurse(0, [] { return false; });
}

// A host that ends the recursion of whoever has overflowed, as CPython does.
class FakeHost : public SwitchHook {
 public:
  void OnSwitchIn(GreenThread*) override {}
  void OnSwitchOut(GreenThread*) override {}
  void OnIdle() override {}
  bool OnReserveEntered(GreenThread* thread) override {
    ++entered;
    thread->reserve_note()->taken[0] = 1;
    return can_end;
  }
  void OnReserveLeft(GreenThread* thread) override {
    ++left;
    thread->reserve_note()->taken[0] = 0;
  }
  void OnAbandoned(GreenThread* thread) override { abandoned.push_back(thread->id()); }

  // Of the running green thread.
  bool MustEnd() const { return Scheduler::Current()->current()->reserve_note()->taken[0] != 0; }

  bool can_end = true;
  int entered = 0;
  int left = 0;
  std::vector<uint64_t> abandoned;
};

class StackOverflowTest : public ::testing::TestWithParam<Engine> {
 protected:
  StackOverflowTest() {
    InstallStackOverflowHandler();
    scheduler_.SetSwitchHook(&host_);
    alarms = 0;
    SetAbandonAlarm([] { ++alarms; });
  }
  ~StackOverflowTest() override { SetAbandonAlarm(nullptr); }

  // Until all have ended or been abandoned.
  void RunAll() {
    scheduler_.Spawn([this] {
      while (scheduler_.stats().live > 1) scheduler_.Park(clock_.NowNs() + 1);
      scheduler_.Stop();
    });
    scheduler_.Run(&poller_);
  }

  int RecurseUntilTold() {
    return Recurse(0, [this] { return host_.MustEnd(); });
  }

  StackOverflowSignalStack signal_stack_;
  FakeHost host_;
  testing::SimClock clock_;
  testing::SimPoller poller_{&clock_};
  Scheduler scheduler_{{.engine = GetParam(), .stack_size_bytes = kStackBytes, .clock = &clock_}};
};

TEST_P(StackOverflowTest, GoesOnInTheReserveAndTheHostEndsTheRecursion) {
  int levels = 0;
  scheduler_.Spawn([&] {
    levels = RecurseUntilTold();
    EXPECT_TRUE(scheduler_.current()->reserve_open());
    scheduler_.LeaveReserve();
    EXPECT_FALSE(scheduler_.current()->reserve_open());
  });
  RunAll();
  EXPECT_GT(levels, 30) << "it has used its stack first";
  EXPECT_EQ(host_.entered, 1);
  EXPECT_EQ(host_.left, 1);
  EXPECT_EQ(scheduler_.stats().overflows, 1u);
  EXPECT_EQ(scheduler_.stats().abandoned, 0u);
  EXPECT_EQ(scheduler_.stats().live, 0u);
  EXPECT_EQ(alarms, 0);
  EXPECT_GT(scheduler_.slab()->Report().deepest_bytes, kStackBytes);
}

TEST_P(StackOverflowTest, WithoutHelpOfTheHostItGoesOnInTheReserveAllTheSame) {
  host_.can_end = false;
  bool done = false;
  scheduler_.Spawn([&] {
    Recurse(0, [&] {
      return static_cast<std::byte*>(__builtin_frame_address(0)) <
             scheduler_.current()->stack().base - kReserveStageBytes - 4096;
    });
    done = true;
  });
  RunAll();
  EXPECT_TRUE(done);
  EXPECT_EQ(host_.entered, 2) << "once for each stage";
  EXPECT_EQ(scheduler_.stats().overflows, 1u);
  EXPECT_EQ(scheduler_.stats().abandoned, 0u);
}

TEST_P(StackOverflowTest, ASwitchClosesTheReserveOnceTheStackIsShallowAgain) {
  scheduler_.Spawn([&] {
    Recurse(0, [&] {
      if (!host_.MustEnd()) return false;
      scheduler_.Park(clock_.NowNs() + 1);
      EXPECT_TRUE(scheduler_.current()->reserve_open()) << "it is still in there";
      EXPECT_EQ(host_.left, 0);
      return true;
    });
    EXPECT_TRUE(scheduler_.current()->reserve_open());
    scheduler_.Park(clock_.NowNs() + 1);
    EXPECT_FALSE(scheduler_.current()->reserve_open());
  });
  RunAll();
  EXPECT_EQ(host_.left, 1);
}

TEST_P(StackOverflowTest, AnyNumberOfOverflowsInARow) {
  constexpr int kRounds = 200;
  scheduler_.Spawn([&] {
    for (int i = 0; i < kRounds; ++i) {
      RecurseUntilTold();
      scheduler_.LeaveReserve();
    }
  });
  RunAll();
  EXPECT_EQ(host_.entered, kRounds);
  EXPECT_EQ(scheduler_.stats().overflows, static_cast<uint64_t>(kRounds));
}

TEST_P(StackOverflowTest, OverflowsAgainBeforeTheReserveIsClosed) {
  scheduler_.Spawn([&] {
    for (int i = 0; i < 3; ++i) {
      RecurseUntilTold();
      *scheduler_.current()->reserve_note() = {};
    }
  });
  RunAll();
  EXPECT_EQ(host_.entered, 3) << "each time in the next stage";
  EXPECT_EQ(scheduler_.stats().abandoned, 0u);
}

TEST_P(StackOverflowTest, EndOfTheGreenThreadClosesItsReserveForTheNextOne) {
  for (int i = 0; i < 3; ++i) {
    scheduler_.Spawn([&] { RecurseUntilTold(); });
    RunAll();
  }
  EXPECT_EQ(host_.entered, 3);
  EXPECT_EQ(host_.left, 3);
  EXPECT_LE(scheduler_.stats().spawned, 6u);
}

TEST_P(StackOverflowTest, RecursionWithoutEndIsAbandonedAndTheOthersGoOn) {
  host_.can_end = false;
  struct Told {
    GreenThread* thread = nullptr;
    bool in_loop = false;
  } told;
  bool before = false;
  bool after = false;
  scheduler_.Spawn([&] {
    before = true;
    for (int i = 0; i < 5; ++i) scheduler_.Yield();
    after = true;
  });
  GreenThread* lost = scheduler_.Spawn(
      [&] {
        ASSERT_TRUE(before);
        scheduler_.current()->OnAbandoned(
            [](GreenThread* thread, void* argument) {
              *static_cast<Told*>(argument) = {thread,
                                               Scheduler::Current() != nullptr && GreenThread::Current() == nullptr};
            },
            &told);
        RecurseForEver();
      },
      {.name = "deep"});
  RunAll();
  EXPECT_TRUE(after);
  EXPECT_EQ(told.thread, lost);
  EXPECT_TRUE(told.in_loop);
  EXPECT_EQ(lost->state(), GreenThread::State::kAbandoned);
  EXPECT_EQ(host_.abandoned, std::vector<uint64_t>{lost->id()});
  EXPECT_EQ(scheduler_.stats().abandoned, 1u);
  EXPECT_EQ(scheduler_.stats().overflows, 1u);
  EXPECT_EQ(scheduler_.stats().live, 0u);
  EXPECT_EQ(alarms, 1);
  scheduler_.Unpark(lost);  // late ones have no effect
  scheduler_.Cancel(lost);
  EXPECT_EQ(lost->state(), GreenThread::State::kAbandoned);
}

TEST_P(StackOverflowTest, AbandonedInTheMiddleOfManyAndTheirStacksAreNotReused) {
  host_.can_end = false;
  std::vector<const std::byte*> lost;
  for (int i = 0; i < 20; ++i) {
    scheduler_.Spawn([&] {
      lost.push_back(scheduler_.current()->stack().base);
      RecurseForEver();
    });
  }
  RunAll();
  EXPECT_EQ(scheduler_.stats().abandoned, 20u);
  int reused = 0;
  for (int i = 0; i < 100; ++i) {
    scheduler_.Spawn([&] {
      for (const std::byte* base : lost) reused += base == scheduler_.current()->stack().base;
      scheduler_.Yield();
    });
  }
  RunAll();
  EXPECT_EQ(reused, 0);
}

TEST_P(StackOverflowTest, AFrameLargerThanTheStackIsAbandonedAtItsFirstTouch) {
  bool beyond = false;
  GreenThread* lost = scheduler_.Spawn([&] {
    auto* frame = static_cast<volatile char*>(alloca(kStackBytes + kReserveBytes + 1024));
    asm volatile("" : : "r"(frame) : "memory");  // all of it is there
    frame[0] = 1;
    beyond = true;
  });
  RunAll();
  EXPECT_FALSE(beyond);
  EXPECT_EQ(lost->state(), GreenThread::State::kAbandoned);
  EXPECT_EQ(host_.entered, GREENRING_ASAN ? host_.entered : 0) << "ASan alone writes to both ends of a frame";
}

TEST_P(StackOverflowTest, AFrameOfManyPagesFindsTheWholeStageOpen) {
  bool done = false;
  scheduler_.Spawn([&] {
    auto* frame = static_cast<volatile char*>(alloca(kStackBytes + kReserveStageBytes + 1024));
    frame[0] = 1;
    for (size_t i = 0; i < kStackBytes; i += 1024) frame[i] = 1;
    done = true;
  });
  RunAll();
  EXPECT_TRUE(done);
  EXPECT_EQ(host_.entered, 1);
}

TEST_P(StackOverflowTest, TheSchedulerFinishesWhatItIsInTheMiddleOf) {
  host_.can_end = false;
  constexpr int kRounds = 40;
  // Each recurses with a scheduler call at every level; the alignment moves where exactly the guard is met.
  for (int round = 0; round < kRounds; ++round) {
    scheduler_.Spawn([&, round] {
      volatile char* skew = static_cast<volatile char*>(alloca(static_cast<size_t>(round) * 16 + 1));
      skew[0] = 1;
      Recurse(0, [&, round] {
        if (round % 2 == 0) scheduler_.Yield();
        if (round % 2 == 1) scheduler_.Park(clock_.NowNs() + 1);
        return false;
      });
    });
  }
  int ended = 0;
  for (int i = 0; i < 10; ++i) {
    scheduler_.Spawn([&] {
      for (int j = 0; j < 100; ++j) scheduler_.Park(clock_.NowNs() + 1);
      ++ended;
    });
  }
  RunAll();
  EXPECT_EQ(ended, 10);
  EXPECT_EQ(scheduler_.stats().abandoned, static_cast<size_t>(kRounds));
  EXPECT_EQ(alarms, kRounds);
}

// Green threads that do everything at random, those that are abandoned among them; replay: --gtest_random_seed=SEED.
TEST_P(StackOverflowTest, StressOfBothKindsAmongNormalOnes) {
  const auto seed = static_cast<uint32_t>(::testing::UnitTest::GetInstance()->random_seed());
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  constexpr int kThreads = 400;
  int ended = 0;
  int expected_lost = 0;
  int rescued = 0;
  int expected_rescued = 0;
  for (int i = 0; i < kThreads; ++i) {
    const uint32_t kind = random() % 8;
    const uint32_t steps = random() % 20;
    expected_lost += kind == 0 ? 1 : 0;
    expected_rescued += kind == 1 ? static_cast<int>(steps) : 0;
    scheduler_.Spawn([&, kind, steps] {
      for (uint32_t step = 0; step < steps; ++step) {
        if (random() % 2 == 0) scheduler_.Yield();
        if (random() % 4 == 0) scheduler_.Park(clock_.NowNs() + static_cast<int64_t>(random() % 100));
        if (kind == 1) {
          RecurseUntilTold();
          ++rescued;
          if (random() % 2 == 0) scheduler_.Yield();
          scheduler_.LeaveReserve();
        }
      }
      if (kind == 0) RecurseForEver();
      ++ended;
    });
  }
  RunAll();
  EXPECT_EQ(ended, kThreads - expected_lost);
  EXPECT_EQ(scheduler_.stats().abandoned, static_cast<size_t>(expected_lost));
  EXPECT_EQ(rescued, expected_rescued);
  EXPECT_EQ(scheduler_.stats().overflows, static_cast<uint64_t>(expected_lost + expected_rescued));
}

TEST_P(StackOverflowTest, StackUseIsThatOfTheParkedToo) {
  GreenThread* parked = nullptr;
  size_t deep = 0;
  size_t own = 0;
  scheduler_.Spawn([&] {
    parked = scheduler_.current();
    Recurse(0, [&] {
      own = scheduler_.StackUseBytes(*parked);
      if (own < 32 * 1024) return false;
      scheduler_.Yield();
      return true;
    });
  });
  scheduler_.Spawn([&] { deep = scheduler_.StackUseBytes(*parked); });
  RunAll();
  EXPECT_GE(own, 32u * 1024);
  EXPECT_GE(deep, own - 1024);
  EXPECT_LT(deep, 40u * 1024);
}

// Runs `function` on a green thread with an environment of its own.
void RunAlone(Engine engine, const SpawnOptions& options, const std::function<void(Scheduler*)>& function) {
  InstallStackOverflowHandler();
  StackOverflowSignalStack signal_stack;
  testing::SimClock clock;
  testing::SimPoller poller(&clock);
  Scheduler scheduler({.engine = engine, .stack_size_bytes = kStackBytes, .clock = &clock});
  scheduler.Spawn([&] { function(&scheduler); }, options);
  scheduler.Run(&poller);
}

class StackOverflowDeathTest : public ::testing::TestWithParam<Engine> {};

TEST_P(StackOverflowDeathTest, TheOneThatPassesForTheOsThreadEndsTheProcessWithItsNameAndTheRemedy) {
  EXPECT_DEATH(
      RunAlone(GetParam(), {.name = "main", .is_os_thread = true}, [](Scheduler*) { std::exit(RecurseForEver()); }),
      "stack overflow: green thread 1 \\(main\\) needed more than its 64 KiB of stack \\(16 pages\\)"
      "(.|\n)*raise --stack_size");
}

void Touch(std::byte* address) { *reinterpret_cast<volatile std::byte*>(address) = std::byte{1}; }

TEST_P(StackOverflowDeathTest, AWrongPointerIntoTheOwnReserveIsNoOverflow) {
  EXPECT_DEATH(RunAlone(GetParam(), {}, [](Scheduler* scheduler) { Touch(scheduler->current()->stack().base - 8); }),
               "");
}

TEST_P(StackOverflowDeathTest, AWrongPointerIntoAnothersGuardIsNoOverflow) {
  EXPECT_DEATH(RunAlone(GetParam(), {},
                        [](Scheduler* scheduler) {
                          const Stack other = *scheduler->slab()->Allocate();
                          Touch(other.base - 8);
                        }),
               "");
}

TEST_P(StackOverflowDeathTest, OtherFaultsStillEndTheProcessWithoutThatReport) {
  if (GREENRING_ASAN) GTEST_SKIP() << "the sanitizer reports them";
  EXPECT_EXIT(
      {
        InstallStackOverflowHandler();
        StackOverflowSignalStack signal_stack;
        std::raise(SIGSEGV);
      },
      ::testing::KilledBySignal(SIGSEGV), "^$");
}

TEST_P(StackOverflowDeathTest, InstalledAnewItPassesOtherFaultsOnToTheHandlerThatCameBetween) {
  if (GREENRING_ASAN) GTEST_SKIP() << "the sanitizer reports them";
  EXPECT_EXIT(
      {
        InstallStackOverflowHandler();
        std::signal(SIGSEGV, [](int) { _exit(7); });
        InstallStackOverflowHandler();
        InstallStackOverflowHandler();
        std::raise(SIGSEGV);
      },
      ::testing::ExitedWithCode(7), "^$");
}

INSTANTIATE_TEST_SUITE_P(Engines, StackOverflowDeathTest, ::testing::Values(Engine::kUcontext, Engine::kFcontext),
                         [](const auto& info) { return std::string(EngineName(info.param)); });
INSTANTIATE_TEST_SUITE_P(Engines, StackOverflowTest, ::testing::Values(Engine::kUcontext, Engine::kFcontext),
                         [](const auto& info) { return std::string(EngineName(info.param)); });

}  // namespace
}  // namespace greenring::green
