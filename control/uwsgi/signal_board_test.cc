#include "control/uwsgi/signal_board.h"

#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "control/sim_timers.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

constexpr int64_t kMs = kNanosecondsPerMillisecond;
constexpr int64_t kSecond = kNanosecondsPerSecond;

// Workers that take what they get at once, unless `holds_up`.
class SignalBoardTest : public ::testing::Test, public SignalBoard::Host {
 protected:
  // Worker `number` imports the application, says `says`, and serves.
  void Start(int64_t number, int slot, const std::function<void(int64_t)>& says) {
    says(number);
    ready_.push_back({number, slot});
    board_.OnWorkerReady(number);
  }

  void End(int64_t number) {
    std::erase_if(ready_, [number](const auto& worker) { return worker.number == number; });
    std::erase_if(held_up_, [number](const auto& one) { return one.first == number; });
    board_.OnWorkerEnded(number);
  }

  // "1:17 2:17": who got what since the last call.
  std::string Got() {
    timers_.Settle();
    return std::exchange(got_, "");
  }

  std::vector<SignalBoard::ReadyWorker> ReadyWorkers() override {
    std::sort(ready_.begin(), ready_.end(), [](const auto& a, const auto& b) { return a.slot < b.slot; });
    return ready_;
  }
  void Deliver(int64_t worker, int signal, std::function<void(bool)> done) override {
    absl::StrAppend(&got_, got_.empty() ? "" : " ", worker, ":", signal);
    if (holds_up_) return held_up_.emplace_back(worker, std::move(done)), void();
    later_.push_back(timers_.After(0, [done = std::move(done)] { done(true); }));
  }
  void Warn(const std::string& what) override { warnings_.push_back(what); }

  SimTimers timers_;
  SignalBoard board_{&timers_, this};
  std::vector<SignalBoard::ReadyWorker> ready_;
  bool holds_up_ = false;
  std::vector<std::pair<int64_t, std::function<void(bool)>>> held_up_;
  std::vector<std::unique_ptr<Timers::Timer>> later_;
  std::string got_;
  std::vector<std::string> warnings_;
};

TEST_F(SignalBoardTest, OneWorkerAfterTheOtherWhereAnyMayTakeIt) {
  for (const char* target : {"", "worker", "worker0"}) {
    for (int number : {1, 2, 3}) {
      if (std::string(target).empty()) {
        Start(number, number, [&](int64_t worker) { EXPECT_TRUE(board_.Register(worker, 17, target).ok()); });
      } else {
        EXPECT_TRUE(board_.Register(number, 17, target).ok());
      }
    }
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(board_.Send(17).ok());
    EXPECT_EQ(Got(), "1:17 2:17 3:17") << target;
  }
}

TEST_F(SignalBoardTest, AllWorkersOrACertainOne) {
  for (int number : {1, 2}) {
    Start(number, number, [this](int64_t worker) {
      EXPECT_TRUE(board_.Register(worker, 1, "workers").ok());
      EXPECT_TRUE(board_.Register(worker, 2, "active-workers").ok());
      EXPECT_TRUE(board_.Register(worker, 3, "worker2").ok());
    });
  }
  EXPECT_TRUE(board_.Send(1).ok());
  EXPECT_EQ(Got(), "1:1 2:1");
  EXPECT_TRUE(board_.Send(2).ok());
  EXPECT_EQ(Got(), "1:2 2:2");
  EXPECT_TRUE(board_.Send(3).ok());
  EXPECT_TRUE(board_.Send(3).ok());
  EXPECT_EQ(Got(), "2:3 2:3");
}

TEST_F(SignalBoardTest, AWorkerThatIsNotThereYetMayBeNamed) {
  const auto import = [this](int64_t worker) { EXPECT_TRUE(board_.Register(worker, 3, "worker2").ok()); };
  Start(1, 1, import);
  EXPECT_TRUE(absl::IsUnavailable(board_.Send(3)));
  Start(2, 2, import);
  EXPECT_TRUE(board_.Send(3).ok());
  EXPECT_EQ(Got(), "2:3");
}

TEST_F(SignalBoardTest, OnlyWorkersThatHaveRegisteredItGetIt) {
  Start(1, 1, [](int64_t) {});
  Start(2, 2, [this](int64_t worker) { EXPECT_TRUE(board_.Register(worker, 5, "workers").ok()); });
  EXPECT_TRUE(board_.Send(5).ok());
  EXPECT_EQ(Got(), "2:5");
}

TEST_F(SignalBoardTest, WhatCannotBeIsSaid) {
  EXPECT_TRUE(absl::IsInvalidArgument(board_.Register(1, 256, "")));
  EXPECT_TRUE(absl::IsInvalidArgument(board_.Register(1, -1, "")));
  for (const char* target : {"mule", "mules", "mule1", "spooler", "farm_a", "worker-1", "workerx"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(board_.Register(1, 1, target))) << target;
  }
  EXPECT_TRUE(absl::StrContains(board_.Register(1, 1, "mule1").message(), "use \"worker\"")) << "says what to use";
  EXPECT_TRUE(absl::IsNotFound(board_.Send(1)));
  EXPECT_TRUE(absl::IsInvalidArgument(board_.AddTimer(1, 1, {.period_ns = 0})));
  EXPECT_TRUE(absl::IsInvalidArgument(board_.AddTimer(1, 1, {.period_ns = SignalBoard::kPeriodMaxNs + 1})));
  EXPECT_TRUE(absl::IsInvalidArgument(board_.AddTimer(1, 1, {.period_ns = kNeverNs})));
  EXPECT_TRUE(absl::IsInvalidArgument(board_.AddTimer(1, 1, {.period_ns = kSecond, .iterations = -1})));
  EXPECT_TRUE(absl::IsInvalidArgument(board_.AddTimer(1, 300, {.period_ns = kSecond})));
  EXPECT_TRUE(absl::IsInvalidArgument(board_.AddCron(1, 1, {.minute = 60})));
  EXPECT_FALSE(board_.AddFileMonitor(1, 1, "/no/such/directory").ok());
  EXPECT_EQ(timers_.pending(), 0);
}

TEST_F(SignalBoardTest, TheLongestPeriodIsWaitedFor) {
  Start(1, 1, [this](int64_t worker) {
    EXPECT_TRUE(board_.Register(worker, 9, "").ok());
    EXPECT_TRUE(board_.AddTimer(worker, 9, {.period_ns = SignalBoard::kPeriodMaxNs}).ok());
  });
  timers_.Advance(kSecond);
  EXPECT_EQ(Got(), "");
  timers_.Advance(SignalBoard::kPeriodMaxNs - kSecond);
  EXPECT_EQ(Got(), "1:9");
}

TEST_F(SignalBoardTest, ATimerThatEachWorkerAddsIsOne) {
  for (int number : {1, 2}) {
    Start(number, number, [this](int64_t worker) {
      EXPECT_TRUE(board_.Register(worker, 9, "workers").ok());
      EXPECT_TRUE(board_.AddTimer(worker, 9, {.period_ns = kSecond}).ok());
    });
  }
  timers_.Advance(999 * kMs);
  EXPECT_EQ(Got(), "");
  timers_.Advance(kMs);
  EXPECT_EQ(Got(), "1:9 2:9");
  timers_.Advance(3 * kSecond);
  EXPECT_EQ(Got(), "1:9 2:9 1:9 2:9 1:9 2:9");
}

TEST_F(SignalBoardTest, TwoTimersThatOneWorkerAddsAreTwo) {
  for (int number : {1, 2}) {
    Start(number, number, [this](int64_t worker) {
      EXPECT_TRUE(board_.Register(worker, 9, "worker1").ok());
      EXPECT_TRUE(board_.AddTimer(worker, 9, {.period_ns = kSecond, .iterations = 1}).ok());
      EXPECT_TRUE(board_.AddTimer(worker, 9, {.period_ns = kSecond, .iterations = 1}).ok());
    });
  }
  holds_up_ = false;
  timers_.Advance(5 * kSecond);
  // Both are due in the same instant, and the second finds that the first has not been taken.
  EXPECT_EQ(Got(), "1:9");
  EXPECT_EQ(board_.dropped(), 1);
}

TEST_F(SignalBoardTest, ATimerKeepsItsRhythmWhileWorkersAreReplaced) {
  const auto says = [this](int64_t worker) {
    EXPECT_TRUE(board_.Register(worker, 9, "").ok());
    EXPECT_TRUE(board_.AddTimer(worker, 9, {.period_ns = kSecond}).ok());
  };
  Start(1, 1, says);
  timers_.Advance(1500 * kMs);
  EXPECT_EQ(Got(), "1:9");
  End(1);  // it dies
  timers_.Advance(1000 * kMs);
  EXPECT_EQ(Got(), "") << "nobody is there";
  Start(2, 1, says);
  timers_.Advance(499 * kMs);
  EXPECT_EQ(Got(), "");
  timers_.Advance(1 * kMs);
  EXPECT_EQ(Got(), "2:9") << "3 s after the first registration";
  // A reload: the new one says it before the old one ends.
  says(3);
  End(2);
  Start(3, 1, [](int64_t) {});
  timers_.Advance(2 * kSecond);
  EXPECT_EQ(Got(), "3:9 3:9");
}

TEST_F(SignalBoardTest, ATimerThatIsDoneDoesNotBeginAgainWithANewWorker) {
  const auto says = [this](int64_t worker) {
    EXPECT_TRUE(board_.Register(worker, 9, "").ok());
    EXPECT_TRUE(board_.AddTimer(worker, 9, {.period_ns = kSecond, .iterations = 2}).ok());
  };
  Start(1, 1, says);
  timers_.Advance(10 * kSecond);
  EXPECT_EQ(Got(), "1:9 1:9");
  End(1);
  Start(2, 1, says);
  timers_.Advance(10 * kSecond);
  EXPECT_EQ(Got(), "");
}

TEST_F(SignalBoardTest, ATimerThatIsAddedLaterIsItsOwnAndGoesWhenItIsDone) {
  const auto says = [this](int64_t worker) { EXPECT_TRUE(board_.Register(worker, 9, "").ok()); };
  Start(1, 1, says);
  Start(2, 2, says);
  for (int i = 0; i < 3 * SignalBoard::kSourcesMax; ++i) {
    ASSERT_TRUE(board_.AddTimer(1 + i % 2, 9, {.period_ns = kSecond, .iterations = 1}).ok()) << i;
    timers_.Advance(kSecond);
  }
  EXPECT_EQ(timers_.pending(), 0);
}

TEST_F(SignalBoardTest, ThereAreAtMostSixtyFourOfEachKind) {
  for (int i = 0; i < SignalBoard::kSourcesMax; ++i) {
    ASSERT_TRUE(board_.AddTimer(1, i, {.period_ns = kSecond}).ok());
    ASSERT_TRUE(board_.AddCron(1, i, {}).ok());
    ASSERT_TRUE(board_.AddFileMonitor(1, i, "/tmp/a").ok());
  }
  EXPECT_TRUE(absl::IsResourceExhausted(board_.AddTimer(1, 0, {.period_ns = kSecond})));
  EXPECT_TRUE(absl::IsResourceExhausted(board_.AddCron(1, 0, {})));
  EXPECT_TRUE(absl::IsResourceExhausted(board_.AddFileMonitor(1, 0, "/tmp/a")));
  EXPECT_TRUE(board_.AddTimer(2, 0, {.period_ns = kSecond}).ok()) << "the other worker's: it is one";
}

TEST_F(SignalBoardTest, WhatOnlyDeadWorkersHaveSaidGoesAfterAWhile) {
  Start(1, 1, [this](int64_t worker) {
    EXPECT_TRUE(board_.Register(worker, 9, "").ok());
    EXPECT_TRUE(board_.AddTimer(worker, 9, {.period_ns = kSecond}).ok());
    EXPECT_TRUE(board_.AddFileMonitor(worker, 9, "/tmp/a").ok());
    EXPECT_TRUE(board_.AddCron(worker, 9, {}).ok());
  });
  EXPECT_TRUE(board_.IsRegistered(9));
  End(1);
  EXPECT_FALSE(board_.IsRegistered(9));
  EXPECT_TRUE(absl::IsUnavailable(board_.Send(9)));
  timers_.Advance(3 * SignalBoard::kKeepNs);
  EXPECT_TRUE(absl::IsNotFound(board_.Send(9)));
  EXPECT_EQ(timers_.pending(), 0) << "timers, schedules and monitors are gone";
}

TEST_F(SignalBoardTest, SignalsOfTimersDoNotPileUp) {
  Start(1, 1, [this](int64_t worker) {
    EXPECT_TRUE(board_.Register(worker, 9, "").ok());
    EXPECT_TRUE(board_.AddTimer(worker, 9, {.period_ns = kSecond}).ok());
  });
  holds_up_ = true;
  timers_.Advance(10 * kSecond);
  EXPECT_EQ(Got(), "1:9");
  EXPECT_EQ(board_.dropped(), 9);
  EXPECT_EQ(warnings_.size(), 1u);
  holds_up_ = false;
  held_up_.front().second(true);
  EXPECT_EQ(board_.TakenBy(1), 1);
  timers_.Advance(2 * kSecond);
  EXPECT_EQ(Got(), "1:9 1:9");
  EXPECT_EQ(warnings_.size(), 1u);
}

TEST_F(SignalBoardTest, SignalsThatAreSentWaitUpToABound) {
  Start(1, 1, [this](int64_t worker) { EXPECT_TRUE(board_.Register(worker, 9, "").ok()); });
  holds_up_ = true;
  for (int i = 0; i < SignalBoard::kPendingMax + 5; ++i) EXPECT_TRUE(board_.Send(9).ok());
  EXPECT_EQ(held_up_.size(), static_cast<size_t>(SignalBoard::kPendingMax));
  EXPECT_EQ(board_.dropped(), 5);
  EXPECT_EQ(warnings_.size(), 1u);
}

TEST_F(SignalBoardTest, AScheduleIsDueOnceAMinute) {
  for (int number : {1, 2}) {
    Start(number, number, [this](int64_t worker) {
      EXPECT_TRUE(board_.Register(worker, 9, "worker1").ok());
      EXPECT_TRUE(board_.AddCron(worker, 9, {}).ok());
    });
  }
  timers_.Advance(600 * kSecond);
  int count = 0;
  for (const char c : Got()) count += c == ':' ? 1 : 0;
  EXPECT_EQ(count, 10);
}

TEST_F(SignalBoardTest, TheSameNameIsTheSameSignalForEachWorker) {
  EXPECT_TRUE(board_.Register(1, 0, "").ok());
  const int first = board_.SignalFor(1, "shop.tasks:clean").value();
  EXPECT_NE(first, 0) << "that is registered";
  const int second = board_.SignalFor(1, "shop.tasks:mail").value();
  EXPECT_NE(second, first);
  EXPECT_EQ(board_.SignalFor(2, "shop.tasks:mail").value(), second) << "in whatever order it asks";
  EXPECT_EQ(board_.SignalFor(2, "shop.tasks:clean").value(), first);
  for (int i = 0; i < 253; ++i) EXPECT_TRUE(board_.SignalFor(1, absl::StrCat("other ", i)).ok()) << i;
  EXPECT_TRUE(absl::IsResourceExhausted(board_.SignalFor(1, "one more").status()));
  End(1);
  timers_.Advance(2 * SignalBoard::kKeepNs);
  EXPECT_TRUE(board_.SignalFor(2, "one more").ok()) << "a dead worker's are free again";
  EXPECT_EQ(board_.SignalFor(2, "shop.tasks:clean").value(), first);
}

// Workers come and go and say the same each time; whatever happens, a timer's signals come in its rhythm or not at all.
TEST(SignalBoardStressTest, KeepsItsWordWhileWorkersDie) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937 random(seed);
  const auto below = [&random](int bound) { return static_cast<int>(random() % static_cast<uint32_t>(bound)); };
  struct World : SignalBoard::Host {
    std::vector<SignalBoard::ReadyWorker> ReadyWorkers() override {
      std::vector<SignalBoard::ReadyWorker> ready;
      for (const auto& [slot, number] : workers) ready.push_back({number, slot});
      return ready;
    }
    void Deliver(int64_t worker, int signal, std::function<void(bool)> done) override {
      ++delivered[signal];
      EXPECT_TRUE(std::any_of(workers.begin(), workers.end(), [&](const auto& one) { return one.second == worker; }))
          << "to a dead worker";
      later.push_back(timers.After(1, [done = std::move(done)] { done(true); }));
    }
    void Warn(const std::string&) override {}

    SimTimers timers;
    std::map<int, int64_t> workers;  // by slot
    std::map<int, int> delivered;
    std::vector<std::unique_ptr<Timers::Timer>> later;
  } world;
  SignalBoard board(&world.timers, &world);
  int64_t last_number = 0;
  const int64_t begin_ns = world.timers.NowNs();
  for (int step = 0; step < 3000; ++step) {
    const int slot = 1 + below(4);
    if (const auto old = world.workers.find(slot); old != world.workers.end()) {
      const int64_t number = old->second;
      world.workers.erase(old);
      board.OnWorkerEnded(number);
    } else {
      const int64_t number = ++last_number;
      ASSERT_TRUE(board.Register(number, 1, "").ok());
      ASSERT_TRUE(board.Register(number, 2, "workers").ok());
      ASSERT_TRUE(board.AddTimer(number, 1, {.period_ns = kSecond}).ok());
      ASSERT_EQ(board.SignalFor(number, "a").value(), 0);
      world.workers[slot] = number;
      board.OnWorkerReady(number);
    }
    const int before = world.delivered[2];
    const bool sent = board.Send(2).ok();
    ASSERT_EQ(world.delivered[2] - before, static_cast<int>(world.workers.size()));
    ASSERT_EQ(sent, !world.workers.empty());
    world.timers.Advance(below(800) * kMs);
    ASSERT_LE(world.delivered[1], (world.timers.NowNs() - begin_ns) / kSecond) << "step " << step;
  }
  ASSERT_GT(world.delivered[1], 500);
}

}  // namespace
}  // namespace greenring::control
