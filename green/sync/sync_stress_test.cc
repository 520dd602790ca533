// Everything at once, at random: channels, selects, mutex and semaphore under deadlines, cancellations and stray
// permits. What must hold however it goes: every value sent is received exactly once, in order; nobody enters the mutex
// twice; no permit is lost; and nobody stands in a line at the end (the destructors check that).
//
// One seed a run; a failure prints it. To replay, or to try others:
//   bazel run //green/sync:sync_stress_test -- --gtest_filter='*Stress*' --seed=N [--seeds=COUNT]
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "green/sync/channel.h"
#include "green/sync/go.h"
#include "green/sync/mutex.h"
#include "green/sync/select.h"
#include "green/sync/semaphore.h"
#include "green/sync/sync_fixture.h"
#include "green/sync/wait_group.h"

namespace greenring::green {
namespace {

uint32_t first_seed = 1;
uint32_t seed_count = 40;

// The n-th value of one producer in one channel. Move-only, so that a lost or doubled one shows.
struct Item {
  int producer;
  int number;
};
using Box = std::unique_ptr<Item>;

class StressTest : public SyncTest {};

// The world of one seed.
class World {
 public:
  World(Scheduler* scheduler, uint32_t seed) : scheduler_(scheduler), random_(seed) {
    for (size_t i = 0; i < kChannels; ++i)
      channels_.push_back(std::make_unique<Channel<Box>>(i));  // capacities 0, 1, 2
  }

  void Start() {
    producers_left_.Add(kProducers);
    for (int i = 0; i < kProducers; ++i) alive_.push_back(Go(scheduler_, [this, i] { Produce(i); }));
    for (int i = 0; i < kConsumers; ++i) alive_.push_back(Go(scheduler_, [this, i] { Consume(i); }));
    for (int i = 0; i < kLockers; ++i) alive_.push_back(Go(scheduler_, [this] { Lock(); }));
    Go(scheduler_, [this] { Disturb(); });
    Go(scheduler_, [this] {
      EXPECT_EQ(producers_left_.Wait(), WaitResult::kDone);
      for (auto& channel : channels_) channel->Close();
    });
  }

  void CheckEnd() const {
    for (size_t i = 0; i < kChannels; ++i) EXPECT_EQ(sent_[i], received_[i]) << "values in channel " << i;
    EXPECT_EQ(semaphore_.available(), kPermits);
    EXPECT_EQ(inside_mutex_, 0);
    EXPECT_GT(received_[0] + received_[1] + received_[2], 0) << "nothing happened";
  }

 private:
  static constexpr size_t kChannels = 3;
  static constexpr int kProducers = 5, kConsumers = 4, kLockers = 4;
  static constexpr int kSteps = 60;
  static constexpr int64_t kPermits = 3;

  uint32_t Random(uint32_t below) { return random_() % below; }
  int64_t RandomDeadline() {
    return Random(4) == 0 ? kNeverNs : scheduler_->clock()->NowNs() + static_cast<int64_t>(Random(3 * kMs));
  }

  // What every green thread of the world does between its steps.
  void Breathe() {
    if (Random(3) == 0) scheduler_->Yield();
    if (scheduler_->current()->cancel_pending()) scheduler_->ClearCancel();
  }

  void Ended() {
    for (GreenThread*& thread : alive_) {
      if (thread == scheduler_->current()) thread = nullptr;
    }
  }

  // Sends in the order of `number`, in each channel; a refused value is offered again or dropped uncounted.
  void Produce(int producer) {
    for (int step = 0; step < kSteps; ++step) {
      const size_t first = Random(kChannels), second = (first + 1) % kChannels;
      const auto box = [&](size_t channel) {
        return std::make_unique<Item>(Item{producer, next_number_[producer][channel]});
      };
      const auto sent = [&](size_t channel) {
        ++next_number_[producer][channel];
        ++sent_[channel];
      };
      switch (Random(4)) {
        case 0:
          if (channels_[first]->TrySend(box(first))) sent(first);
          break;
        case 1: {
          Box value = box(first);
          const WaitResult result = channels_[first]->SendUntil(std::move(value), RandomDeadline());
          EXPECT_EQ(result == WaitResult::kDone, value == nullptr);
          if (result == WaitResult::kDone) sent(first);
          break;
        }
        default:
          Select(OnSend(channels_[first].get(), box(first), [&](bool done) { done ? sent(first) : Closed(); }),
                 OnSend(channels_[second].get(), box(second), [&](bool done) { done ? sent(second) : Closed(); }),
                 OnDeadline(RandomDeadline(), [] {}));
      }
      Breathe();
    }
    Ended();
    producers_left_.Done();
  }

  // Until every channel is closed and empty.
  void Consume(int consumer) {
    bool open[kChannels] = {true, true, true};
    const auto take = [&](size_t channel, std::optional<Box> value) {
      if (!value.has_value()) {
        EXPECT_TRUE(channels_[channel]->closed());
        open[channel] = false;
        return;
      }
      ++received_[channel];
      const Item item = **value;
      int& next = next_expected_[{consumer, item.producer, channel}];
      EXPECT_GE(item.number, next) << "out of order or doubled, channel " << channel;
      next = item.number + 1;
    };
    while (open[0] || open[1] || open[2]) {
      const size_t channel = Random(kChannels);
      if (open[channel] && Random(3) == 0) {
        std::optional<Box> value;
        const WaitResult result = channels_[channel]->ReceiveUntil(&value, RandomDeadline());
        EXPECT_EQ(result == WaitResult::kDone, value.has_value());
        if (result == WaitResult::kDone || result == WaitResult::kClosed) take(channel, std::move(value));
      } else {
        const auto from = [&](size_t i) { return open[i] ? channels_[i].get() : nullptr; };
        Select(OnReceive(from(0), [&](std::optional<Box> value) { take(0, std::move(value)); }),
               OnReceive(from(1), [&](std::optional<Box> value) { take(1, std::move(value)); }),
               OnReceive(from(2), [&](std::optional<Box> value) { take(2, std::move(value)); }),
               OnDeadline(RandomDeadline(), [] {}));
      }
      Breathe();
    }
    Ended();
  }

  void Lock() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    for (int step = 0; step < kSteps; ++step) {
      const int64_t permits = 1 + Random(kPermits);
      if (semaphore_.AcquireUntil(RandomDeadline(), permits) == WaitResult::kDone) {
        if (mutex_.LockUntil(RandomDeadline())) {
          EXPECT_EQ(++inside_mutex_, 1);
          Breathe();
          --inside_mutex_;
          mutex_.Unlock();
        }
        Breathe();
        semaphore_.Release(permits);
      }
      Breathe();
    }
    Ended();
  }

  // Cancels and unparks whom it likes.
  void Disturb() {
    for (int step = 0; step < 4 * kSteps; ++step) {
      if (GreenThread* victim = alive_[Random(alive_.size())]) {
        Random(2) == 0 ? scheduler_->Cancel(victim) : scheduler_->Unpark(victim);
      }
      if (Random(2) == 0) scheduler_->Park(scheduler_->clock()->NowNs() + Random(kMs));
      Breathe();
    }
  }

  static void Closed() { ADD_FAILURE() << "closed before the producers had ended"; }

  Scheduler* const scheduler_;
  std::mt19937 random_;
  std::vector<std::unique_ptr<Channel<Box>>> channels_;
  Mutex mutex_;
  Semaphore semaphore_{kPermits};
  WaitGroup producers_left_;
  std::vector<GreenThread*> alive_;  // nullptr: has ended
  int next_number_[kProducers][kChannels] = {};
  std::map<std::tuple<int, int, size_t>, int> next_expected_;  // by consumer, producer and channel
  int64_t sent_[kChannels] = {}, received_[kChannels] = {};
  int inside_mutex_ = 0;
};

TEST_P(StressTest, NothingIsLostDoubledOrLeftBehind) {
  for (uint32_t seed = first_seed; seed < first_seed + seed_count; ++seed) {
    SCOPED_TRACE("replay: bazel run //green/sync:sync_stress_test -- --seeds=1 --seed=" + std::to_string(seed));
    World world(&scheduler_, seed);
    world.Start();
    RunToEnd();
    world.CheckEnd();
    if (HasFailure()) return;
  }
}

GREENRING_INSTANTIATE_SYNC_TEST(StressTest);

}  // namespace
}  // namespace greenring::green

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    if (std::strncmp(argv[i], "--seed=", 7) == 0) greenring::green::first_seed = std::strtoul(argv[i] + 7, nullptr, 10);
    if (std::strncmp(argv[i], "--seeds=", 8) == 0)
      greenring::green::seed_count = std::strtoul(argv[i] + 8, nullptr, 10);
  }
  return RUN_ALL_TESTS();
}
