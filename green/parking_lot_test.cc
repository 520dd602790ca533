#include "green/parking_lot.h"

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "green/scheduler.h"
#include "gtest/gtest.h"
#include "testing/sim_clock.h"
#include "testing/sim_poller.h"

namespace greenring::green {
namespace {

constexpr int64_t kMs = kNanosecondsPerMillisecond;

class ParkingLotTest : public ::testing::Test {
 protected:
  // Runs `functions`, a green thread each, in this order, until all have ended.
  void Run(std::vector<std::function<void()>> functions) {
    size_t live = functions.size();
    for (std::function<void()>& function : functions) {
      scheduler_.Spawn([this, &function, &live] {
        function();
        if (--live == 0) scheduler_.Stop();
      });
    }
    scheduler_.Run(&poller_);
  }

  void SleepMs(int64_t milliseconds) { scheduler_.Park(clock_.NowNs() + milliseconds * kMs); }

  testing::SimClock clock_;
  testing::SimPoller poller_{&clock_};
  Scheduler scheduler_{{.clock = &clock_}};
  int lock_ = 0;
  int other_lock_ = 0;
};

TEST_F(ParkingLotTest, WakesInTheOrderOfArrival) {
  std::vector<int> order;
  const auto wait = [&](int who) {
    ParkingLot::Waiter waiter(&lock_);
    EXPECT_EQ(waiter.Wait(), ParkResult::kUnparked);
    order.push_back(who);
  };
  Run({[&] { wait(1); }, [&] { wait(2); }, [&] { wait(3); },
       [&] {
         for (int i = 0; i < 3; ++i) {
           EXPECT_EQ(ParkingLot::WakeOne(&lock_), 1u);
           scheduler_.Yield();
         }
         EXPECT_EQ(ParkingLot::WakeOne(&lock_), 0u);
       }});
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

TEST_F(ParkingLotTest, WakeAllWakesEverybodyOfTheAddressAndNobodyElse) {
  int woken = 0;
  ParkResult other = ParkResult::kUnparked;
  const auto wait = [&] {
    ParkingLot::Waiter waiter(&lock_);
    if (waiter.Wait(clock_.NowNs() + 50 * kMs) == ParkResult::kUnparked) ++woken;
  };
  Run({wait, wait,
       [&] {
         ParkingLot::Waiter waiter(&other_lock_);
         other = waiter.Wait(clock_.NowNs() + 50 * kMs);
       },
       [&] { EXPECT_EQ(ParkingLot::WakeAll(&lock_), 2u); }});
  EXPECT_EQ(woken, 2);
  EXPECT_EQ(other, ParkResult::kTimedOut);
}

TEST_F(ParkingLotTest, AWakeBetweenJoiningAndWaitingIsNotLost) {
  Run({[&] {
    ParkingLot::Waiter waiter(&lock_);
    EXPECT_EQ(ParkingLot::WakeOne(&lock_), 1u);
    EXPECT_TRUE(waiter.woken());
    EXPECT_EQ(waiter.Wait(), ParkResult::kUnparked);
    EXPECT_FALSE(waiter.woken());
  }});
}

TEST_F(ParkingLotTest, WhoWasWokenKeepsItsPlace) {
  std::vector<int> order;
  Run({[&] {
         ParkingLot::Waiter waiter(&lock_);
         waiter.Wait();
         order.push_back(1);
         waiter.Wait();
         order.push_back(1);
       },
       [&] {
         ParkingLot::Waiter waiter(&lock_);
         waiter.Wait();
         order.push_back(2);
       },
       [&] {
         for (int i = 0; i < 3; ++i) {
           ParkingLot::WakeOne(&lock_);
           scheduler_.Yield();
         }
       }});
  EXPECT_EQ(order, (std::vector<int>{1, 1, 2}));
}

// Both wakes have a use; the first waiter has its own already when the second one reaches it.
TEST_F(ParkingLotTest, AWakeThatComesAfterTheWaitGoesToTheNextInLine) {
  bool second_woken = false;
  Run({[&] {
         ParkingLot::Waiter waiter(&lock_);
         EXPECT_EQ(waiter.Wait(), ParkResult::kUnparked);
         EXPECT_EQ(ParkingLot::WakeOne(&lock_), 1u);  // it is in front again
         EXPECT_TRUE(waiter.woken());
       },
       [&] {
         ParkingLot::Waiter waiter(&lock_);
         second_woken = waiter.Wait(clock_.NowNs() + 50 * kMs) == ParkResult::kUnparked;
       },
       [&] { ParkingLot::WakeOne(&lock_); }});
  EXPECT_TRUE(second_woken);
}

TEST_F(ParkingLotTest, AWakeOfAllIsNotForThoseWhoComeLater) {
  Run({[&] {
         ParkingLot::Waiter waiter(&lock_);
         EXPECT_EQ(ParkingLot::WakeAll(&lock_), 1u);
         scheduler_.Yield();  // the other one joins, and this one leaves
       },
       [&] {
         ParkingLot::Waiter waiter(&lock_);
         EXPECT_EQ(waiter.Wait(clock_.NowNs() + 5 * kMs), ParkResult::kTimedOut);
       }});
}

TEST_F(ParkingLotTest, TheDeadlineEndsAWaitAndLeavesNothingBehind) {
  Run({[&] {
    const int64_t deadline_ns = clock_.NowNs() + 7 * kMs;
    {
      ParkingLot::Waiter waiter(&lock_);
      EXPECT_EQ(waiter.Wait(deadline_ns), ParkResult::kTimedOut);
      EXPECT_EQ(clock_.NowNs(), deadline_ns);
    }
    EXPECT_EQ(ParkingLot::WakeAll(&lock_), 0u);
  }});
}

TEST_F(ParkingLotTest, CancelEndsAWaitUnlessItIsUncancellable) {
  GreenThread* cancelled = nullptr;
  Run({[&] {
         cancelled = scheduler_.current();
         ParkingLot::Waiter waiter(&lock_);
         EXPECT_EQ(waiter.Wait(), ParkResult::kCancelled);
         EXPECT_EQ(waiter.WaitUncancellable(clock_.NowNs() + 5 * kMs), ParkResult::kTimedOut);
         EXPECT_EQ(waiter.WaitUncancellable(), ParkResult::kUnparked);
       },
       [&] {
         scheduler_.Cancel(cancelled);
         SleepMs(10);
         ParkingLot::WakeOne(&lock_);
       }});
}

TEST_F(ParkingLotTest, AnOsThreadWakesAGreenThread) {
  std::thread thread;
  Run({[&] {
    ParkingLot::Waiter waiter(&lock_);
    thread = std::thread([&] { EXPECT_EQ(ParkingLot::WakeOne(&lock_), 1u); });
    EXPECT_EQ(waiter.Wait(), ParkResult::kUnparked);
  }});
  thread.join();
}

TEST_F(ParkingLotTest, AGreenThreadWakesAnOsThread) {
  std::atomic<bool> in_line{false};
  std::thread thread([&] {
    ParkingLot::Waiter waiter(&lock_);
    in_line.store(true);
    EXPECT_EQ(waiter.Wait(), ParkResult::kUnparked);
  });
  while (!in_line.load()) std::this_thread::yield();
  Run({[&] { EXPECT_EQ(ParkingLot::WakeOne(&lock_), 1u); }});
  thread.join();
}

TEST_F(ParkingLotTest, AnOsThreadsWaitKeepsItsDeadline) {
  ParkingLot::Waiter waiter(&lock_);
  const int64_t deadline_ns = Clock::Monotonic()->NowNs() + 20 * kMs;
  EXPECT_EQ(waiter.Wait(deadline_ns), ParkResult::kTimedOut);
  EXPECT_GE(Clock::Monotonic()->NowNs(), deadline_ns);
  EXPECT_EQ(waiter.Wait(-1), ParkResult::kTimedOut);
}

TEST_F(ParkingLotTest, PthreadCancelEndsTheWaitOfAnOsThread) {
  std::atomic<bool> in_line{false};
  struct Shared {
    std::atomic<bool>* in_line;
    int* lock;
  } shared{&in_line, &lock_};
  pthread_t thread;
  ASSERT_EQ(pthread_create(
                &thread, nullptr,
                [](void* argument) -> void* {
                  Shared* shared = static_cast<Shared*>(argument);
                  ParkingLot::Waiter waiter(shared->lock);
                  shared->in_line->store(true);
                  for (;;) waiter.Wait();
                },
                &shared),
            0);
  while (!in_line.load()) std::this_thread::yield();
  ASSERT_EQ(pthread_cancel(thread), 0);
  void* result = nullptr;
  ASSERT_EQ(pthread_join(thread, &result), 0);
  EXPECT_EQ(result, PTHREAD_CANCELED);
  EXPECT_EQ(ParkingLot::WakeAll(&lock_), 0u) << "it has not left the line";
}

int* signal_address = nullptr;

TEST_F(ParkingLotTest, ASignalHandlerWakesWhomItInterrupted) {
  signal_address = &lock_;
  struct sigaction action {};
  action.sa_handler = [](int) {
    ParkingLot::SignalScope scope;
    ParkingLot::WakeOne(signal_address);
  };
  struct sigaction before;
  ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
  Run({[&] {
    ParkingLot::Waiter waiter(&lock_);
    raise(SIGUSR1);
    EXPECT_EQ(waiter.Wait(), ParkResult::kUnparked);
  }});
  sigaction(SIGUSR1, &before, nullptr);
}

// A counting lock between two schedulers and two OS threads, with one wake for each release: if any is lost, or goes to
// somebody who has no use for it, the test does not end.
TEST_F(ParkingLotTest, NoWakeIsLostBetweenManyThreadsOfBothKinds) {
  constexpr int kRounds = 2000;
  std::atomic<int> permits{1};
  std::atomic<int> inside{0};
  const auto try_acquire = [&] {
    int seen = permits.load();
    while (seen > 0) {
      if (permits.compare_exchange_weak(seen, seen - 1)) return true;
    }
    return false;
  };
  const auto use = [&](auto breathe) {
    for (int round = 0; round < kRounds; ++round) {
      {
        ParkingLot::Waiter waiter(&permits);
        while (!try_acquire()) waiter.Wait();
      }
      EXPECT_EQ(inside.fetch_add(1), 0);
      breathe(round);
      inside.fetch_sub(1);
      permits.fetch_add(1);
      ParkingLot::WakeOne(&permits);
    }
  };
  const auto run_scheduler = [&] {
    testing::SimClock clock;
    testing::SimPoller poller(&clock);
    Scheduler scheduler({.clock = &clock});
    int live = 4;
    for (int i = 0; i < 4; ++i) {
      scheduler.Spawn([&] {
        use([&](int round) {
          if (round % 8 == 0) scheduler.Yield();
        });
        if (--live == 0) scheduler.Stop();
      });
    }
    scheduler.Run(&poller);
  };
  const auto run_thread = [&] { use([](int) {}); };
  std::thread threads[] = {std::thread(run_scheduler), std::thread(run_scheduler), std::thread(run_thread),
                           std::thread(run_thread)};
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(permits.load(), 1);
  EXPECT_EQ(ParkingLot::WakeAll(&permits), 0u);
}

}  // namespace
}  // namespace greenring::green
