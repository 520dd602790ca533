#include "green/scheduler.h"

#include <errno.h>

#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "testing/sim_clock.h"
#include "testing/sim_poller.h"

namespace greenring::green {
namespace {

constexpr int64_t kMs = kNanosecondsPerMillisecond;

class SchedulerTest : public ::testing::TestWithParam<Engine> {
 protected:
  // Runs until no green thread is left.
  void RunToEnd() {
    scheduler_.Spawn([this] {
      while (scheduler_.stats().live > 1) scheduler_.Park(clock_.NowNs() + kMs);
      scheduler_.Stop();
    });
    scheduler_.Run(&poller_);
    EXPECT_EQ(scheduler_.stats().live, 0u);
  }

  testing::SimClock clock_;
  testing::SimPoller poller_{&clock_, /*deadlock_is_fatal=*/true};
  Scheduler scheduler_{{.engine = GetParam(), .clock = &clock_}};
  std::vector<int> trace_;
};

TEST_P(SchedulerTest, GreenThreadsRunInTheOrderOfTheirSpawn) {
  for (int i = 0; i < 3; ++i) scheduler_.Spawn([this, i] { trace_.push_back(i); });
  RunToEnd();
  EXPECT_EQ(trace_, (std::vector<int>{0, 1, 2}));
}

TEST_P(SchedulerTest, YieldLetsTheOthersRunFirst) {
  for (int i = 0; i < 2; ++i) {
    scheduler_.Spawn([this, i] {
      trace_.push_back(i);
      scheduler_.Yield();
      trace_.push_back(10 + i);
    });
  }
  RunToEnd();
  EXPECT_EQ(trace_, (std::vector<int>{0, 1, 10, 11}));
}

TEST_P(SchedulerTest, UnparkWakesAParkedGreenThread) {
  GreenThread* sleeper = scheduler_.Spawn([this] { EXPECT_EQ(scheduler_.Park(), ParkResult::kUnparked); });
  scheduler_.Spawn([this, sleeper] {
    EXPECT_EQ(sleeper->state(), GreenThread::State::kParked);
    scheduler_.Unpark(sleeper);
    EXPECT_EQ(sleeper->state(), GreenThread::State::kRunnable);
  });
  RunToEnd();
}

TEST_P(SchedulerTest, UnparkBeforeParkIsNotLostAndCountsOnce) {
  scheduler_.Spawn([this] {
    scheduler_.Unpark(scheduler_.current());
    scheduler_.Unpark(scheduler_.current());
    EXPECT_EQ(scheduler_.Park(), ParkResult::kUnparked);
    EXPECT_EQ(scheduler_.Park(clock_.NowNs() + kMs), ParkResult::kTimedOut);
  });
  RunToEnd();
}

TEST_P(SchedulerTest, ParkEndsAtItsDeadlineNotBefore) {
  scheduler_.Spawn([this] {
    const int64_t start_ns = clock_.NowNs();
    EXPECT_EQ(scheduler_.Park(start_ns + 50 * kMs), ParkResult::kTimedOut);
    EXPECT_EQ(clock_.NowNs(), start_ns + 50 * kMs);
  });
  RunToEnd();
}

TEST_P(SchedulerTest, DeadlineOfAnUnparkedParkDoesNotWakeTheNext) {
  GreenThread* sleeper = scheduler_.Spawn([this] {
    EXPECT_EQ(scheduler_.Park(clock_.NowNs() + 10 * kMs), ParkResult::kUnparked);
    const int64_t start_ns = clock_.NowNs();
    EXPECT_EQ(scheduler_.Park(start_ns + 100 * kMs), ParkResult::kTimedOut);
    EXPECT_EQ(clock_.NowNs(), start_ns + 100 * kMs);
  });
  scheduler_.Spawn([this, sleeper] { scheduler_.Unpark(sleeper); });
  RunToEnd();
}

TEST_P(SchedulerTest, CancelEndsAParkAndStaysPendingUntilCleared) {
  GreenThread* sleeper = scheduler_.Spawn([this] {
    EXPECT_EQ(scheduler_.Park(), ParkResult::kCancelled);
    EXPECT_EQ(scheduler_.Park(), ParkResult::kCancelled);
    scheduler_.ClearCancel();
    EXPECT_EQ(scheduler_.Park(clock_.NowNs() + kMs), ParkResult::kTimedOut);
  });
  scheduler_.Spawn([this, sleeper] { scheduler_.Cancel(sleeper); });
  RunToEnd();
}

TEST_P(SchedulerTest, CancelBeforeTheParkIsNotLost) {
  GreenThread* thread = scheduler_.Spawn([this] { EXPECT_EQ(scheduler_.Park(), ParkResult::kCancelled); });
  scheduler_.Cancel(thread);
  RunToEnd();
}

TEST_P(SchedulerTest, UncancellableParkWaitsForItsUnpark) {
  GreenThread* sleeper = scheduler_.Spawn([this] {
    EXPECT_EQ(scheduler_.ParkUncancellable(), ParkResult::kUnparked);
    trace_.push_back(1);
    EXPECT_EQ(scheduler_.Park(), ParkResult::kCancelled) << "the cancellation is still pending";
  });
  scheduler_.Spawn([this, sleeper] {
    scheduler_.Cancel(sleeper);
    scheduler_.Yield();
    EXPECT_TRUE(trace_.empty());
    scheduler_.Unpark(sleeper);
  });
  RunToEnd();
}

TEST_P(SchedulerTest, ACancelThatIsWithdrawnBeforeItsThreadRunsIsAnUnparkForNoReason) {
  GreenThread* sleeper = scheduler_.Spawn([this] {
    EXPECT_EQ(scheduler_.Park(), ParkResult::kUnparked);
    EXPECT_EQ(scheduler_.Park(clock_.NowNs() + kMs), ParkResult::kTimedOut) << "nothing is pending";
  });
  scheduler_.Spawn([this, sleeper] {
    scheduler_.Cancel(sleeper);
    scheduler_.WithdrawCancel(sleeper);
  });
  RunToEnd();
}

TEST_P(SchedulerTest, ACancelThatIsWithdrawnBeforeTheParkDoesNotEndIt) {
  GreenThread* thread =
      scheduler_.Spawn([this] { EXPECT_EQ(scheduler_.Park(clock_.NowNs() + kMs), ParkResult::kTimedOut); });
  scheduler_.Cancel(thread);
  scheduler_.WithdrawCancel(thread);
  RunToEnd();
}

TEST_P(SchedulerTest, UnparkAndCancelOfTheSameParkResumeOnce) {
  int resumed = 0;
  GreenThread* sleeper = scheduler_.Spawn([&] {
    scheduler_.Park();
    ++resumed;
  });
  scheduler_.Spawn([this, sleeper] {
    scheduler_.Unpark(sleeper);
    scheduler_.Cancel(sleeper);
  });
  RunToEnd();
  EXPECT_EQ(resumed, 1);
}

TEST_P(SchedulerTest, UnparkAndDeadlineInTheSameTurnResumeOnce) {
  int resumed = 0;
  const int64_t deadline_ns = clock_.NowNs() + kMs;
  GreenThread* sleeper = scheduler_.Spawn([&, deadline_ns] {
    EXPECT_EQ(scheduler_.Park(deadline_ns), ParkResult::kUnparked);
    ++resumed;
    EXPECT_EQ(scheduler_.Park(deadline_ns + kMs), ParkResult::kTimedOut);
    ++resumed;
  });
  scheduler_.Spawn([this, sleeper, deadline_ns] {
    clock_.AdvanceTo(deadline_ns);     // due when the loop looks next
    scheduler_.UnparkRemote(sleeper);  // but it looks into the door first
  });
  RunToEnd();
  EXPECT_EQ(resumed, 2);
}

TEST_P(SchedulerTest, TimerFiresInTheLoopsContext) {
  struct Observed : Timer {
    explicit Observed(Scheduler* scheduler)
        : Timer([](Timer* timer) {
            Observed* self = static_cast<Observed*>(timer);
            self->fired = true;
            self->on_loop = self->scheduler->current() == nullptr;
          }),
          scheduler(scheduler) {}
    Scheduler* scheduler;
    bool fired = false, on_loop = false;
  } timer(&scheduler_);
  scheduler_.AddTimer(&timer, clock_.NowNs() + 5 * kMs);
  scheduler_.Spawn([this] { scheduler_.Park(clock_.NowNs() + 10 * kMs); });
  RunToEnd();
  EXPECT_TRUE(timer.fired);
  EXPECT_TRUE(timer.on_loop);
}

TEST_P(SchedulerTest, ErrnoIsPerGreenThread) {
  for (int i = 1; i <= 2; ++i) {
    scheduler_.Spawn([this, i] {
      errno = i;
      scheduler_.Yield();
      EXPECT_EQ(errno, i);
    });
  }
  RunToEnd();
}

TEST_P(SchedulerTest, ExceptionStateIsPerGreenThread) {
  for (int i = 1; i <= 2; ++i) {
    scheduler_.Spawn([this, i] {
      try {
        throw i;
      } catch (int) {
        scheduler_.Yield();  // the other green thread throws and catches its own now
        try {
          std::rethrow_exception(std::current_exception());
        } catch (int value) {
          EXPECT_EQ(value, i);
        }
      }
    });
  }
  RunToEnd();
}

TEST_P(SchedulerTest, EndedGreenThreadsStackIsReusedWithoutStaleState) {
  GreenThread* first = scheduler_.Spawn([this] { scheduler_.Unpark(scheduler_.current()); });
  GreenThread* second = nullptr;
  scheduler_.Spawn([&] {
    second = scheduler_.Spawn([this] {
      EXPECT_EQ(scheduler_.Park(clock_.NowNs() + kMs), ParkResult::kTimedOut) << "a permit outlived its green thread";
    });
  });
  RunToEnd();
  EXPECT_EQ(first, second);
}

TEST_P(SchedulerTest, FunctionObjectIsDestroyedWhenItHasReturned) {
  auto shared = std::make_shared<int>(1);
  scheduler_.Spawn([shared] { EXPECT_EQ(shared.use_count(), 2); });
  RunToEnd();
  EXPECT_EQ(shared.use_count(), 1);
}

TEST_P(SchedulerTest, SpinningYieldersDoNotStarveTimers) {
  bool done = false;
  scheduler_.Spawn([&] {
    while (!done) {
      scheduler_.Yield();
      clock_.Advance(1000);
    }
  });
  scheduler_.Spawn([&] {
    EXPECT_EQ(scheduler_.Park(clock_.NowNs() + kMs), ParkResult::kTimedOut);
    done = true;
  });
  RunToEnd();
}

class RecordingHook : public SwitchHook {
 public:
  void OnSwitchIn(GreenThread* thread) override {
    EXPECT_EQ(inside_, nullptr);
    inside_ = thread;
    ++ins_;
  }
  void OnSwitchOut(GreenThread* thread) override {
    EXPECT_EQ(inside_, thread);
    inside_ = nullptr;
    ++outs_;
  }
  void OnIdle() override {
    EXPECT_EQ(inside_, nullptr);
    ++idles_;
  }
  GreenThread* inside_ = nullptr;
  int ins_ = 0, outs_ = 0, idles_ = 0;
};

TEST_P(SchedulerTest, HookSeesEverySwitchInPairsAndTheLoopGoIdle) {
  RecordingHook hook;
  scheduler_.SetSwitchHook(&hook);
  for (int i = 0; i < 2; ++i) {
    scheduler_.Spawn([this] {
      scheduler_.Yield();
      scheduler_.Park(clock_.NowNs() + kMs);
    });
  }
  RunToEnd();
  EXPECT_EQ(hook.ins_, hook.outs_);
  EXPECT_GE(hook.ins_, 6);
  EXPECT_GE(hook.idles_, 1);
}

class CountedWork : public WorkSource {
 public:
  CountedWork(Scheduler* scheduler, int left) : scheduler_(scheduler), left_(left) {}
  void Refill() override {
    if (left_ == 0) return;
    --left_;
    scheduler_->Spawn([this] { ++done_; });
  }
  int done() const { return done_; }

 private:
  Scheduler* const scheduler_;
  int left_;
  int done_ = 0;
};

TEST_P(SchedulerTest, WorkSourceIsAskedUntilItHasNothingBeforeTheLoopIsPolled) {
  CountedWork work(&scheduler_, 5);
  scheduler_.SetWorkSource(&work);
  scheduler_.Spawn([&] {
    scheduler_.Park(clock_.NowNs() + kMs);
    EXPECT_EQ(work.done(), 5);
    EXPECT_EQ(poller_.polls(), 1);
  });
  RunToEnd();
}

TEST_P(SchedulerTest, WorkBeyondTheSwitchesOfOneTurnDoesNotWaitForAnEvent) {
  constexpr int kWork = 3 * Scheduler::kSwitchesPerPollMax;
  CountedWork work(&scheduler_, kWork);
  scheduler_.SetWorkSource(&work);
  scheduler_.Spawn([&] {
    scheduler_.Park(clock_.NowNs() + kMs);
    EXPECT_EQ(work.done(), kWork) << "the loop slept while work was waiting";
  });
  RunToEnd();
}

TEST_P(SchedulerTest, WorkIsTakenUpAlthoughTheRunQueueNeverRunsDry) {
  CountedWork work(&scheduler_, 3);
  scheduler_.SetWorkSource(&work);
  for (int i = 0; i < 2; ++i) {
    scheduler_.Spawn([&] {
      for (int yields = 0; work.done() < 3 && yields < 10 * Scheduler::kSwitchesPerPollMax; ++yields) {
        scheduler_.Yield();
      }
      EXPECT_EQ(work.done(), 3);
    });
  }
  RunToEnd();
}

TEST_P(SchedulerTest, StopLeavesParkedGreenThreadsAndRunContinuesThem) {
  GreenThread* sleeper = scheduler_.Spawn([this] {
    scheduler_.Park();
    trace_.push_back(1);
  });
  scheduler_.Spawn([this] { scheduler_.Stop(); });
  scheduler_.Run(&poller_);
  EXPECT_EQ(scheduler_.stats().live, 1u);
  scheduler_.Unpark(sleeper);
  RunToEnd();
  EXPECT_EQ(trace_, (std::vector<int>{1}));
}

TEST_P(SchedulerTest, CurrentIsTheSchedulerThatRuns) {
  EXPECT_EQ(Scheduler::Current(), nullptr);
  scheduler_.Spawn([this] {
    EXPECT_EQ(Scheduler::Current(), &scheduler_);
    EXPECT_NE(scheduler_.current(), nullptr);
    std::thread([] { EXPECT_EQ(Scheduler::Current(), nullptr); }).join();
  });
  RunToEnd();
  EXPECT_EQ(Scheduler::Current(), nullptr);
}

TEST_P(SchedulerTest, RemoteUnparksFromManyThreadsAreNotLost) {
  testing::SimPoller poller(&clock_);  // really waits for Wake
  constexpr int kThreads = 4, kRounds = 2000;
  std::atomic<uint64_t> given{0};
  uint64_t taken = 0;
  GreenThread* consumer = scheduler_.Spawn([&] {
    while (taken < kThreads * kRounds) {
      const uint64_t now = given.load();
      if (now > taken) {
        taken = now;
      } else {
        scheduler_.Park();
      }
    }
    scheduler_.Stop();
  });
  std::vector<std::thread> producers;
  for (int i = 0; i < kThreads; ++i) {
    producers.emplace_back([&, i] {
      std::mt19937 random(i);
      for (int round = 0; round < kRounds; ++round) {
        given.fetch_add(1);
        scheduler_.UnparkRemote(consumer);
        for (uint32_t spin = random() % 200; spin > 0; --spin) std::atomic_signal_fence(std::memory_order_seq_cst);
      }
    });
  }
  scheduler_.Run(&poller);
  for (std::thread& producer : producers) producer.join();
  EXPECT_EQ(taken, given.load());
  RunToEnd();  // takes in what was unparked after the end
}

// Random parks, unparks, cancels, yields and spawns; every green thread must end and none be resumed twice.
TEST_P(SchedulerTest, SeededStressEndsEveryGreenThread) {
  for (uint32_t seed = 0; seed < 30; ++seed) {
    SCOPED_TRACE("replay: --gtest_filter=*SeededStress* with seed " + std::to_string(seed));
    std::mt19937 random(seed);
    constexpr int kGreenThreads = 40;
    std::vector<GreenThread*> alive(kGreenThreads, nullptr);
    int ended = 0;
    for (int i = 0; i < kGreenThreads; ++i) {
      alive[i] = scheduler_.Spawn([&, i] {
        for (int step = 0; step < 50; ++step) {
          GreenThread* other = alive[random() % kGreenThreads];
          switch (random() % 5) {
            case 0:
              scheduler_.Yield();
              break;
            case 1:
              if (other != nullptr) scheduler_.Unpark(other);
              break;
            case 2:
              if (other != nullptr) scheduler_.Cancel(other);
              break;
            default:
              if (scheduler_.Park(clock_.NowNs() + random() % (3 * kMs)) == ParkResult::kCancelled) {
                scheduler_.ClearCancel();
              }
          }
          ASSERT_EQ(scheduler_.current(), alive[i]);
          ASSERT_EQ(alive[i]->state(), GreenThread::State::kRunning);
        }
        alive[i] = nullptr;
        ++ended;
      });
    }
    RunToEnd();
    ASSERT_EQ(ended, kGreenThreads);
  }
}

TEST_P(SchedulerTest, ThousandsOfParkedGreenThreadsWakeOnce) {
  Scheduler scheduler({.engine = GetParam(), .stack_size_bytes = kStackSizeBytesMin, .clock = &clock_});
  constexpr int kGreenThreads = 5000;
  int woken = 0;
  for (int i = 0; i < kGreenThreads; ++i) {
    scheduler.Spawn([&] {
      scheduler.Park(clock_.NowNs() + kMs);
      if (++woken == kGreenThreads) scheduler.Stop();
    });
  }
  scheduler.Run(&poller_);
  EXPECT_EQ(woken, kGreenThreads);
  EXPECT_EQ(scheduler.stats().live, 0u);
}

INSTANTIATE_TEST_SUITE_P(Engines, SchedulerTest, ::testing::Values(Engine::kUcontext, Engine::kFcontext),
                         [](const auto& info) { return std::string(EngineName(info.param)); });

}  // namespace
}  // namespace greenring::green
