#include "green/timer_queue.h"

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace greenring::green {
namespace {

void Nothing(Timer*) {}

TEST(TimerQueueTest, PopsOnlyWhatIsDueEarliestFirst) {
  TimerQueue queue;
  Timer late(&Nothing), early(&Nothing), never(&Nothing);
  queue.Add(&late, 200);
  queue.Add(&early, 100);
  queue.Add(&never, 1000);
  EXPECT_EQ(queue.earliest_deadline_ns(), 100);
  EXPECT_EQ(queue.PopDue(99), nullptr);
  EXPECT_EQ(queue.PopDue(100), &early);
  EXPECT_FALSE(early.armed());
  EXPECT_EQ(queue.PopDue(500), &late);
  EXPECT_EQ(queue.PopDue(500), nullptr);
  queue.Remove(&never);
  EXPECT_EQ(queue.earliest_deadline_ns(), kNeverNs);
}

TEST(TimerQueueTest, RemoveOfAnUnarmedTimerDoesNothing) {
  TimerQueue queue;
  Timer timer(&Nothing);
  queue.Remove(&timer);
  queue.Add(&timer, 5);
  queue.Remove(&timer);
  queue.Remove(&timer);
  EXPECT_EQ(queue.size(), 0u);
}

TEST(TimerQueueTest, StaysOrderedUnderRandomAddsAndRemoves) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    TimerQueue queue;
    std::vector<std::unique_ptr<Timer>> timers;
    for (int i = 0; i < 300; ++i) timers.push_back(std::make_unique<Timer>(&Nothing));
    for (int step = 0; step < 2000; ++step) {
      Timer* timer = timers[random() % timers.size()].get();
      if (timer->armed()) {
        queue.Remove(timer);
      } else {
        queue.Add(timer, random() % 100);
      }
    }
    std::vector<int64_t> expected, popped;
    for (const auto& timer : timers) {
      if (timer->armed()) expected.push_back(timer->deadline_ns());
    }
    std::sort(expected.begin(), expected.end());
    while (Timer* due = queue.PopDue(kNeverNs - 1)) popped.push_back(due->deadline_ns());
    EXPECT_EQ(popped, expected);
  }
}

}  // namespace
}  // namespace greenring::green
