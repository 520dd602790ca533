#include "green/inspection.h"

#include <string_view>
#include <vector>

#include "base/clock.h"
#include "green/scoped_wait.h"
#include "gtest/gtest.h"
#include "testing/sim_clock.h"
#include "testing/sim_poller.h"

namespace greenring::green {
namespace {

constexpr int64_t kMs = kNanosecondsPerMillisecond;

class InspectionTest : public ::testing::Test {
 protected:
  ~InspectionTest() override { EXPECT_EQ(scheduler_.stats().live, 0u); }

  // Runs `function` on a green thread of its own when everybody else has had a turn, then ends the run.
  template <typename F>
  void RunWith(F function) {
    scheduler_.Spawn([this, &function] {
      scheduler_.Yield();
      function();
      scheduler_.Stop();
    });
    scheduler_.Run(&poller_);
  }

  ThreadInfo InfoOf(std::string_view name) {
    for (const ThreadInfo& info : InspectThreads(scheduler_)) {
      if (info.name == name) return info;
    }
    ADD_FAILURE() << "there is no green thread named " << name;
    return {};
  }

  testing::SimClock clock_;
  testing::SimPoller poller_{&clock_};
  Scheduler scheduler_{{.clock = &clock_}};
};

TEST_F(InspectionTest, ListsThoseThatLiveByTheirIds) {
  scheduler_.Spawn([] {}, {.name = "ended"});
  GreenThread* const parked = scheduler_.Spawn([this] { scheduler_.Park(); }, {.name = "parked"});
  RunWith([&] {
    scheduler_.Spawn([] {}, {.name = "new"});
    const std::vector<ThreadInfo> threads = InspectThreads(scheduler_);
    ASSERT_EQ(threads.size(), 3u);
    EXPECT_LT(threads[0].id, threads[1].id);
    EXPECT_LT(threads[1].id, threads[2].id);
    EXPECT_EQ(StateName(InfoOf("parked").state), "parked");
    EXPECT_EQ(StateName(InfoOf("green").state), "running");
    EXPECT_EQ(StateName(InfoOf("new").state), "runnable");
    scheduler_.Unpark(parked);
    scheduler_.Yield();
  });
}

TEST_F(InspectionTest, TellsHowLongAndUntilWhenAGreenThreadIsParked) {
  GreenThread* const parked =
      scheduler_.Spawn([this] { scheduler_.Park(clock_.NowNs() + 100 * kMs); }, {.name = "parked"});
  RunWith([&] {
    const int64_t parked_at_ns = clock_.NowNs();
    scheduler_.Park(clock_.NowNs() + 30 * kMs);
    const ThreadInfo info = InfoOf("parked");
    EXPECT_EQ(info.since_ns, 30 * kMs);
    EXPECT_EQ(info.deadline_ns, parked_at_ns + 100 * kMs);
    scheduler_.Unpark(parked);
    scheduler_.Yield();
  });
}

TEST_F(InspectionTest, TimeAndSwitchesAreThoseOfWhoHasTheThread) {
  GreenThread* const worker = scheduler_.Spawn(
      [this] {
        clock_.Advance(7 * kMs);
        scheduler_.Yield();
        clock_.Advance(5 * kMs);
        scheduler_.Park();
      },
      {.name = "worker"});
  RunWith([&] {
    scheduler_.Yield();
    clock_.Advance(100 * kMs);  // mine
    scheduler_.Yield();
    const ThreadInfo info = InfoOf("worker");
    EXPECT_EQ(info.run_ns, 12 * kMs);
    EXPECT_EQ(info.switches, 2u);
    EXPECT_GE(InfoOf("green").run_ns, 100 * kMs);
    scheduler_.Unpark(worker);
    scheduler_.Yield();
  });
}

TEST_F(InspectionTest, TheTurnThatGoesOnCounts) {
  RunWith([&] {
    clock_.Advance(3 * kMs);
    EXPECT_EQ(InfoOf("green").run_ns, 3 * kMs);
    EXPECT_EQ(InfoOf("green").since_ns, 3 * kMs);
  });
}

TEST_F(InspectionTest, WhoIsQueuedCountsFromItsWake) {
  GreenThread* const parked = scheduler_.Spawn([this] { scheduler_.Park(); }, {.name = "parked"});
  RunWith([&] {
    scheduler_.Park(clock_.NowNs() + 50 * kMs);
    scheduler_.Unpark(parked);
    clock_.Advance(2 * kMs);
    const ThreadInfo info = InfoOf("parked");
    EXPECT_EQ(info.state, GreenThread::State::kRunnable);
    EXPECT_EQ(info.since_ns, 2 * kMs);
    scheduler_.Yield();
  });
}

TEST_F(InspectionTest, ASecondLifeStartsItsAccountsAnew) {
  scheduler_.Spawn([this] { clock_.Advance(9 * kMs); }, {.name = "first"});
  RunWith([&] {
    GreenThread* const second = scheduler_.Spawn([this] { scheduler_.Park(); }, {.name = "second"});
    scheduler_.Yield();
    EXPECT_EQ(InfoOf("second").run_ns, 0);
    EXPECT_EQ(InfoOf("second").switches, 1u);
    EXPECT_EQ(InfoOf("second").wait.call, nullptr);
    scheduler_.Unpark(second);
    scheduler_.Yield();
  });
}

TEST_F(InspectionTest, AWaitIsWhatItWasNotedAs) {
  int lock = 0;
  GreenThread* const parked = scheduler_.Spawn(
      [&] {
        GreenThread* const self = GreenThread::Current();
        const ScopedCallName name(self, "pthread_mutex_lock");
        const ScopedWait wait(self, {.object = &lock, .kind = WaitNote::Kind::kLock});
        scheduler_.Park();
        scheduler_.Park();
      },
      {.name = "parked"});
  RunWith([&] {
    LockHolders::Acquired(&lock, LockHolders::OfGreenThread(*GreenThread::Current()));
    scheduler_.Park(clock_.NowNs() + 20 * kMs);
    scheduler_.Unpark(parked);  // in vain: it waits on, for the same thing
    scheduler_.Park(clock_.NowNs() + 20 * kMs);
    const ThreadInfo info = InfoOf("parked");
    EXPECT_STREQ(info.wait.call, "pthread_mutex_lock");
    EXPECT_EQ(info.wait.object, &lock);
    EXPECT_EQ(info.since_ns, 40 * kMs);
    EXPECT_EQ(info.holder.green_thread_id(), GreenThread::Current()->id());
    LockHolders::Released(&lock);
    EXPECT_FALSE(InfoOf("parked").holder.is_known());
    scheduler_.Unpark(parked);
    scheduler_.Yield();
  });
}

TEST_F(InspectionTest, AnInnerWaitKeepsWhatItDoesNotSayAndIsForgottenAtItsEnd) {
  RunWith([&] {
    GreenThread* const self = GreenThread::Current();
    const ScopedCallName name(self, "recv");
    {
      const ScopedWait wait(self, {.fd = 7});
      EXPECT_STREQ(self->wait_note().call, "recv");
      EXPECT_EQ(self->wait_note().fd, 7);
      const ScopedWait inner(self, {.call = "inner"});
      EXPECT_STREQ(self->wait_note().call, "inner");
      EXPECT_EQ(self->wait_note().fd, 7);
    }
    EXPECT_STREQ(self->wait_note().call, "recv");
    EXPECT_EQ(self->wait_note().fd, -1);
    EXPECT_EQ(self->wait_note().since_ticks, 0u);
  });
}

TEST_F(InspectionTest, TheStackIsMeasured) {
  RunWith([&] {
    const ThreadInfo info = InfoOf("green");
    EXPECT_GT(info.stack_used_bytes, 0u);
    EXPECT_LE(info.stack_used_bytes, info.stack_size_bytes);
    EXPECT_EQ(info.stack_size_bytes, kDefaultStackSizeBytes);
  });
}

}  // namespace
}  // namespace greenring::green
