#include "control/asio_timers.h"

#include "base/clock.h"
#include "control/reactor.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

TEST(AsioTimersTest, HappenInTimeAndInOrderAndNotWhenDeleted) {
  Reactor reactor;
  const std::unique_ptr<Timers> timers = MakeAsioTimers(&reactor);
  std::vector<int> happened;
  const int64_t begin_ns = timers->NowNs();
  const auto last = timers->After(20 * kNanosecondsPerMillisecond, [&] {
    happened.push_back(3);
    reactor.Stop();
  });
  std::unique_ptr<Timers::Timer> cancelled = timers->After(0, [&] { happened.push_back(2); });
  // Both are due: the first deletes the second.
  const auto first = timers->After(0, [&] { happened.push_back(1); });
  cancelled.reset();
  reactor.Run();
  EXPECT_EQ(happened, (std::vector<int>{1, 3}));
  EXPECT_GE(timers->NowNs() - begin_ns, 20 * kNanosecondsPerMillisecond);
}

TEST(AsioTimersTest, MayDeleteThemselves) {
  Reactor reactor;
  const std::unique_ptr<Timers> timers = MakeAsioTimers(&reactor);
  std::unique_ptr<Timers::Timer> timer;
  timer = timers->After(0, [&] {
    timer.reset();
    reactor.Stop();
  });
  reactor.Run();
  EXPECT_EQ(timer, nullptr);
}

}  // namespace
}  // namespace greenring::control
