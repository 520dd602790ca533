#include "green/sync/remote_event.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <random>
#include <thread>

#include "green/sync/sync_fixture.h"

namespace greenring::green {
namespace {

// OS threads that set the events they are given, in order.
class Helpers {
 public:
  explicit Helpers(int count) {
    for (int i = 0; i < count; ++i) threads_.emplace_back([this] { Work(); });
  }
  ~Helpers() {
    for (size_t i = 0; i < threads_.size(); ++i) Post(nullptr, nullptr);
    for (std::thread& thread : threads_) thread.join();
  }

  // Adds one to `*value`, then sets `event`.
  void Post(RemoteEvent* event, int* value) {
    std::lock_guard<std::mutex> lock(mutex_);
    jobs_.push_back({event, value});
    condition_.notify_one();
  }

 private:
  struct Job {
    RemoteEvent* event;
    int* value;
  };

  void Work() {
    for (;;) {
      std::unique_lock<std::mutex> lock(mutex_);
      condition_.wait(lock, [this] { return !jobs_.empty(); });
      const Job job = jobs_.front();
      jobs_.pop_front();
      lock.unlock();
      if (job.event == nullptr) return;
      ++*job.value;
      job.event->Set();
    }
  }

  std::mutex mutex_;
  std::condition_variable condition_;
  std::deque<Job> jobs_;
  std::vector<std::thread> threads_;
};

class RemoteEventTest : public SyncTest {
 protected:
  // Runs until a green thread calls Stop, really waiting for other OS threads meanwhile.
  void RunToStop() {
    testing::SimPoller poller(&clock_);
    scheduler_.Run(&poller);
    EXPECT_EQ(scheduler_.stats().live, 0u);
  }
};

TEST_P(RemoteEventTest, SetOnAnotherOsThreadWakesAndShowsWhatWasWrittenBefore) {
  int value = 0;
  std::thread helper;
  Go(&scheduler_, [&] {
    RemoteEvent event;
    helper = std::thread([&] {
      value = 7;
      event.Set();
    });
    EXPECT_EQ(event.Wait(), WaitResult::kDone);
    EXPECT_EQ(value, 7);
    scheduler_.Stop();
  });
  RunToStop();
  helper.join();
}

TEST_P(RemoteEventTest, SetBeforeTheWaitNeedsNoWait) {
  Go(&scheduler_, [&] {
    RemoteEvent event;
    std::thread([&] { event.Set(); }).join();
    const uint64_t switches = scheduler_.stats().switches;
    EXPECT_TRUE(event.is_set());
    EXPECT_EQ(event.Wait(), WaitResult::kDone);
    event.WaitUncancellable();
    EXPECT_EQ(scheduler_.stats().switches, switches);
    event.Reset();
    EXPECT_EQ(event.WaitUntil(InMs(1)), WaitResult::kTimedOut);
  });
  RunToEnd();
}

TEST_P(RemoteEventTest, WaitEndsByDeadlineOrCancelAndCanBeTakenUpAgain) {
  RemoteEvent event;
  GreenThread* waiter = Go(&scheduler_, [&] {
    EXPECT_EQ(event.WaitUntil(InMs(2)), WaitResult::kTimedOut);
    EXPECT_EQ(event.Wait(), WaitResult::kCancelled);
    trace_.push_back(1);
    event.WaitUncancellable();
    trace_.push_back(2);
  });
  Go(&scheduler_, [&] {
    SleepMs(4);
    scheduler_.Cancel(waiter);
    SleepMs(1);
    EXPECT_EQ(trace_, (std::vector<int>{1}));
    event.Set();
  });
  RunToEnd();
  EXPECT_EQ(trace_, (std::vector<int>{1, 2}));
}

TEST_P(RemoteEventTest, SetAtTheDeadlineWins) {
  const int64_t deadline_ns = InMs(5);
  RemoteEvent event;
  Go(&scheduler_, [&] { EXPECT_EQ(event.WaitUntil(deadline_ns), WaitResult::kDone); });
  GoJustAfterDeadline(deadline_ns, [&event] { event.Set(); });
  RunToEnd();
}

// Many green threads give events on their stacks to OS threads and give up waiting at random, but never early.
TEST_P(RemoteEventTest, StressLosesNoSetAndTouchesNoDeadEvent) {
  constexpr int kGreenThreads = 20, kRounds = 300;
  int left = kGreenThreads;
  std::mt19937 random(1);
  Helpers helpers(3);
  for (int i = 0; i < kGreenThreads; ++i) {
    Go(&scheduler_, [&] {
      for (int round = 0; round < kRounds; ++round) {
        RemoteEvent event;
        int value = 0;
        helpers.Post(&event, &value);
        if (random() % 2 == 0) {
          scheduler_.Yield();
          event.WaitUntil(InMs(random() % 3));
        }
        event.WaitUncancellable();
        ASSERT_EQ(value, 1);
      }
      if (--left == 0) scheduler_.Stop();
    });
  }
  RunToStop();
}

GREENRING_INSTANTIATE_SYNC_TEST(RemoteEventTest);

}  // namespace
}  // namespace greenring::green
