#include "ioloop/event_loop.h"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "green/scheduler.h"
#include "gtest/gtest.h"
#include "ioloop/io.h"
#include "ioloop/uring.h"
#include "testing/sim_clock.h"
#include "testing/sim_ring.h"

namespace greenring::ioloop {
namespace {

TEST(EventLoopTest, FlushesOnceATurnHoweverOftenItIsAsked) {
  struct Counter final : Flushable {
    void Flush() override { ++count; }
    int count = 0;
  } first, second;
  testing::SimClock clock;
  testing::SimRing ring(&clock);
  green::Scheduler scheduler({.clock = &clock});
  EventLoop loop(&ring, &scheduler);
  for (int i = 0; i < 3; ++i) loop.FlushLater(&first);
  loop.FlushLater(&second);
  loop.Poll(0);
  EXPECT_EQ(first.count, 1);
  EXPECT_EQ(second.count, 1);
  loop.Poll(0);
  EXPECT_EQ(first.count, 1);
  loop.FlushLater(&first);
  loop.Poll(0);
  EXPECT_EQ(first.count, 2);
  EXPECT_EQ(loop.stats().turns, 3u);
}

TEST(EventLoopTest, ManyToFlushEndTheTurnEarlyAndTheOthersGoOn) {
  struct Counter final : Flushable {
    explicit Counter(int* flushed) : flushed(flushed) {}
    void Flush() override { ++*flushed; }
    int* const flushed;
  };
  testing::SimClock clock;
  testing::SimRing ring(&clock);
  green::Scheduler scheduler({.clock = &clock});
  EventLoop loop(&ring, &scheduler);
  constexpr int kCount = 2 * EventLoop::kFlushedTogetherMax;
  int flushed = 0;
  std::vector<std::unique_ptr<Counter>> counters;
  std::vector<int> flushed_before;  // each one's turn
  for (int i = 0; i < kCount; ++i) {
    counters.push_back(std::make_unique<Counter>(&flushed));
    scheduler.Spawn([&, i] {
      flushed_before.push_back(flushed);
      loop.FlushLater(counters[i].get());
      if (i == kCount - 1) scheduler.Stop();
    });
  }
  scheduler.Run(&loop);
  loop.Poll(0);
  ASSERT_EQ(flushed_before.size(), static_cast<size_t>(kCount));
  EXPECT_EQ(flushed_before[EventLoop::kFlushedTogetherMax - 1], 0);
  EXPECT_EQ(flushed_before[EventLoop::kFlushedTogetherMax], EventLoop::kFlushedTogetherMax);
  EXPECT_EQ(flushed, kCount);
}

TEST(EventLoopTest, WorkMadeByAFlushIsNotSleptOn) {
  testing::SimClock clock;
  testing::SimRing ring(&clock);
  green::Scheduler scheduler({.clock = &clock});
  EventLoop loop(&ring, &scheduler);
  struct Spawner final : Flushable {
    explicit Spawner(green::Scheduler* scheduler) : scheduler(scheduler) {}
    void Flush() override {
      scheduler->Spawn([this] { scheduler->Stop(); });
    }
    green::Scheduler* const scheduler;
  } spawner(&scheduler);
  green::Timer far([](green::Timer*) {});
  scheduler.AddTimer(&far, clock.NowNs() + kNanosecondsPerSecond);
  loop.FlushLater(&spawner);
  const int64_t start_ns = clock.NowNs();
  scheduler.Run(&loop);
  EXPECT_EQ(clock.NowNs(), start_ns) << "the loop slept although a green thread was runnable";
  scheduler.RemoveTimer(&far);
}

TEST(EventLoopTest, GathersOnlyWhileManyStreamsAreBusy) {
  testing::SimClock clock;
  testing::SimRing ring(&clock);
  green::Scheduler scheduler({.clock = &clock});
  EventLoop loop(&ring, &scheduler);
  std::vector<uint32_t> marks(2 * EventLoop::kBusyStreamsPerCompletion);
  // An epoch in which the first `busy` streams receive, each several times; whether the wait after it gathers.
  const auto gathers_after = [&](size_t busy) {
    for (int i = 0; i < 3; ++i) {
      for (size_t stream = 0; stream < busy; ++stream) loop.CountBusy(&marks[stream]);
    }
    clock.Advance(EventLoop::kEpochNs);
    const int before = ring.gathers();
    loop.Poll(clock.NowNs() + kNanosecondsPerMicrosecond + EventLoop::kPatienceNs);
    return ring.gathers() > before;
  };
  gathers_after(0);
  EXPECT_TRUE(gathers_after(marks.size()));
  EXPECT_FALSE(gathers_after(marks.size() - 1));
  EXPECT_TRUE(gathers_after(marks.size()));
  // What was long ago does not count, nor does a wait that is shorter than the patience.
  for (uint32_t& mark : marks) loop.CountBusy(&mark);
  clock.Advance(10 * EventLoop::kEpochNs);
  const int before = ring.gathers();
  loop.Poll(clock.NowNs() + kNanosecondsPerSecond);
  for (uint32_t& mark : marks) loop.CountBusy(&mark);
  loop.Poll(clock.NowNs() + EventLoop::kPatienceNs / 2);
  EXPECT_EQ(ring.gathers(), before);
}

TEST(EventLoopTest, SleepsOfGreenThreadsAreTheLoopsDeadline) {
  testing::SimClock clock;
  testing::SimRing ring(&clock);
  green::Scheduler scheduler({.clock = &clock});
  EventLoop loop(&ring, &scheduler);
  std::vector<int> order;
  for (int seconds : {3, 1, 2}) {
    scheduler.Spawn([&, seconds] {
      Sleep(&loop, clock.NowNs() + seconds * kNanosecondsPerSecond);
      order.push_back(seconds);
      if (seconds == 3) scheduler.Stop();
    });
  }
  const int64_t start_ns = clock.NowNs();
  scheduler.Run(&loop);
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(clock.NowNs() - start_ns, 3 * kNanosecondsPerSecond);
}

TEST(EventLoopTest, UnparksFromOtherThreadsRacingWithSleepsAreNotLost) {
  absl::StatusOr<std::unique_ptr<Uring>> ring = Uring::Create({});
  if (!ring.ok()) GTEST_SKIP() << ring.status();
  green::Scheduler scheduler;
  EventLoop loop(ring->get(), &scheduler);
  // Each green thread parks without deadline until the other OS threads have given it all its numbers.
  constexpr int kGreenThreads = 4, kThreads = 3, kUnparks = 3000;
  struct Sleeper {
    green::GreenThread* thread;
    std::atomic<int> given{0};
  };
  std::vector<Sleeper> sleepers(kGreenThreads);
  std::atomic<bool> unparking{true};
  int finished = 0;
  for (Sleeper& sleeper : sleepers) {
    sleeper.thread = scheduler.Spawn([&] {
      while (sleeper.given.load(std::memory_order_acquire) < kThreads * kUnparks || unparking.load()) {
        scheduler.Park();
      }
      if (++finished == kGreenThreads) scheduler.Stop();
    });
  }
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kUnparks; ++i) {
        for (Sleeper& sleeper : sleepers) {
          sleeper.given.fetch_add(1, std::memory_order_release);
          scheduler.UnparkRemote(sleeper.thread);
        }
        if (i % 8 == 0) std::this_thread::yield();  // lets the loop fall asleep
      }
    });
  }
  std::thread last([&] {
    for (std::thread& thread : threads) thread.join();
    unparking.store(false);
    for (Sleeper& sleeper : sleepers) scheduler.UnparkRemote(sleeper.thread);
  });
  scheduler.Run(&loop);
  last.join();
  EXPECT_EQ(finished, kGreenThreads);
}

}  // namespace
}  // namespace greenring::ioloop
