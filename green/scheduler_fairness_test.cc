// Who runs before whom where some run for long: those yield to the loop at the end of each of their slices.
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "green/scheduler.h"
#include "gtest/gtest.h"
#include "testing/sim_clock.h"
#include "testing/sim_poller.h"

namespace greenring::green {
namespace {

constexpr int64_t kMs = kNanosecondsPerMillisecond;
constexpr int64_t kSliceNs = 10 * kMs;

// I/O that completes at a poll.
class DeliveringPoller final : public Poller {
 public:
  explicit DeliveringPoller(testing::SimClock* clock) : time_(clock, /*deadlock_is_fatal=*/true) {}

  void Poll(int64_t deadline_ns) override {
    time_.Poll(deadline_ns);
    if (deliver_) deliver_();
  }
  void Wake() override { time_.Wake(); }

  void SetDelivery(std::function<void()> deliver) { deliver_ = std::move(deliver); }

 private:
  testing::SimPoller time_;
  std::function<void()> deliver_;
};

class SchedulerFairnessTest : public ::testing::TestWithParam<Engine> {
 protected:
  // Computes for `slices` slices and counts them.
  GreenThread* SpawnSpinner(int slices, int* done) {
    return scheduler_.Spawn([this, slices, done] {
      while (*done < slices && !stop_) {
        clock_.Advance(kSliceNs);
        ++*done;
        scheduler_.YieldToLoop();
      }
    });
  }

  void Stop() {
    stop_ = true;
    scheduler_.Spawn([this] {
      while (scheduler_.stats().live > 1) scheduler_.Park(clock_.NowNs() + kMs);
      scheduler_.Stop();
    });
  }

  testing::SimClock clock_;
  DeliveringPoller poller_{&clock_};
  Scheduler scheduler_{{.engine = GetParam(), .clock = &clock_}};
  bool stop_ = false;
};

TEST_P(SchedulerFairnessTest, WhoYieldsToTheLoopRunsAfterThoseWhoseTimersAreDue) {
  std::string order;
  scheduler_.Spawn([&] {
    scheduler_.Park(clock_.NowNs() + 1);
    order += 'p';
  });
  scheduler_.Spawn([&] {
    clock_.Advance(1);
    scheduler_.Yield();
    order += 'y';
    scheduler_.YieldToLoop();
    order += 'l';
    scheduler_.YieldToLoop();  // alone
    scheduler_.Stop();
  });
  scheduler_.Run(&poller_);
  EXPECT_EQ(order, "ypl");
}

TEST_P(SchedulerFairnessTest, WhoYieldsToTheLoopRunsAfterTheWorkSourcesWork) {
  struct Source : WorkSource {
    void Refill() override {
      if (std::exchange(work, nullptr) != nullptr) scheduler->Spawn([this] { *order += 'w'; });
    }
    Scheduler* scheduler;
    std::string* order;
    const char* work = nullptr;
  };
  std::string order;
  Source source;
  source.scheduler = &scheduler_;
  source.order = &order;
  scheduler_.SetWorkSource(&source);
  scheduler_.Spawn([&] {
    source.work = "some";
    scheduler_.YieldToLoop();
    order += 'l';
    scheduler_.Stop();
  });
  scheduler_.Run(&poller_);
  EXPECT_EQ(order, "wl");
}

TEST_P(SchedulerFairnessTest, WhoYieldsToTheLoopIsNotStarvedByThoseWhoYield) {
  bool stop = false;
  int64_t turns = 0;
  scheduler_.Spawn([&] {
    for (int i = 0; i < 10; ++i) scheduler_.YieldToLoop();
    turns = static_cast<int64_t>(scheduler_.stats().turns);
    stop = true;
    scheduler_.Stop();
  });
  for (int i = 0; i < 2; ++i) {
    scheduler_.Spawn([&] {
      while (!stop) scheduler_.Yield();
    });
  }
  scheduler_.Run(&poller_);
  EXPECT_LE(turns, 10 * (Scheduler::kTurnsPassedOverMax + 1) + 1);
}

TEST_P(SchedulerFairnessTest, ThoseWhoComputeTakeTurns) {
  int done[4] = {};
  for (int& count : done) SpawnSpinner(100, &count);
  scheduler_.Spawn([&] {
    scheduler_.Park(clock_.NowNs() + 200 * kSliceNs);
    for (const int count : done) EXPECT_NEAR(count, 50, 1);
    Stop();
  });
  scheduler_.Run(&poller_);
}

TEST_P(SchedulerFairnessTest, WhoIsWokenByIoWaitsForOneSliceNotForAll) {
  int done[4] = {};
  for (int& count : done) SpawnSpinner(1000, &count);
  GreenThread* reader = nullptr;
  int64_t delivered_ns = 0;
  poller_.SetDelivery([&] {
    if (reader == nullptr || reader->state() != GreenThread::State::kParked) return;
    delivered_ns = clock_.NowNs();
    scheduler_.Unpark(reader);
  });
  scheduler_.Spawn([&] {
    reader = scheduler_.current();
    for (int i = 0; i < 50; ++i) {
      scheduler_.Park();
      EXPECT_EQ(clock_.NowNs(), delivered_ns) << "one that computes ran between the delivery and this";
    }
    reader = nullptr;
    Stop();
  });
  scheduler_.Run(&poller_);
}

TEST_P(SchedulerFairnessTest, WhatADeliveryQueuesIsDoneBeforeTheNextSlice) {
  int slices = 0;
  SpawnSpinner(1000, &slices);
  GreenThread* handler = nullptr;
  int stage = 0;
  int slices_at_accept = 0;
  poller_.SetDelivery([&] {
    if (stage == 0 && slices == 5) {  // a connection is accepted, and its first read queued
      stage = 1;
      slices_at_accept = slices;
    } else if (stage == 1) {  // that has completed
      stage = 2;
      scheduler_.Unpark(handler);
    }
  });
  handler = scheduler_.Spawn([&] {
    while (stage != 2) scheduler_.Park();
    EXPECT_EQ(slices, slices_at_accept);
    Stop();
  });
  scheduler_.Run(&poller_);
}

TEST_P(SchedulerFairnessTest, WhoComputesIsNotStarvedByIoThatNeverEnds) {
  int done[3] = {};
  for (int& count : done) SpawnSpinner(20, &count);
  std::vector<GreenThread*> readers;
  poller_.SetDelivery([&] {
    for (GreenThread* reader : readers) scheduler_.Unpark(reader);
  });
  for (int i = 0; i < 10; ++i) {
    readers.push_back(scheduler_.Spawn([&] {
      while (done[0] + done[1] + done[2] < 60) scheduler_.Park();
      stop_ = true;
    }));
  }
  scheduler_.Spawn([&] {
    while (!stop_) scheduler_.Park(clock_.NowNs() + kMs);
    readers.clear();
    Stop();
  });
  scheduler_.Run(&poller_);
  for (const int count : done) EXPECT_EQ(count, 20);
  EXPECT_LE(scheduler_.stats().turns, 60 * (Scheduler::kTurnsPassedOverMax + 1) + 100);
}

TEST_P(SchedulerFairnessTest, TimersFireAtTheEndOfASlice) {
  int done[2] = {};
  for (int& count : done) SpawnSpinner(1000, &count);
  scheduler_.Spawn([&] {
    for (int i = 0; i < 20; ++i) {
      const int64_t deadline_ns = clock_.NowNs() + kMs;
      EXPECT_EQ(scheduler_.Park(deadline_ns), ParkResult::kTimedOut);
      EXPECT_LT(clock_.NowNs(), deadline_ns + kSliceNs);
    }
    Stop();
  });
  scheduler_.Run(&poller_);
}

INSTANTIATE_TEST_SUITE_P(Engines, SchedulerFairnessTest, ::testing::Values(Engine::kUcontext, Engine::kFcontext),
                         [](const auto& info) { return std::string(EngineName(info.param)); });

}  // namespace
}  // namespace greenring::green
