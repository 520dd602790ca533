// Waits for the GIL, with CPython on a real ring.
#include "pyhost/gil_waits.h"

#include <atomic>
#include <thread>

#include "base/clock.h"
#include "base/histogram.h"
#include "green/scheduler.h"
#include "gtest/gtest.h"
#include "pyhost/gil.h"
#include "pyhost/python.h"
#include "worker/interrupt_world.h"

namespace greenring::pyhost {
namespace {

constexpr int64_t kMs = kNanosecondsPerMillisecond;

// An OS thread that has the GIL for `duration_ns`, and gives it up for nobody meanwhile.
class Holder {
 public:
  explicit Holder(int64_t duration_ns)
      : thread_([this, duration_ns] {
          const PyGILState_STATE state = PyGILState_Ensure();
          holds_ = true;
          const int64_t until_ns = Clock::Monotonic()->NowNs() + duration_ns;
          while (Clock::Monotonic()->NowNs() < until_ns) continue;
          PyGILState_Release(state);
        }) {}
  ~Holder() { thread_.join(); }

  // Without a yield: other green threads would wait for the GIL first.
  void AwaitGil() const {
    while (!holds_) continue;
  }

 private:
  std::atomic<bool> holds_ = false;
  std::thread thread_;
};

TEST(GilWaitsTest, OneTakingIsOneWaitHoweverOftenCPythonLooks) {
  InterruptWorld world;
  Histogram before;
  world.scheduler()->Spawn([&] {
    Holder holder(40 * kMs);  // eight times the switch interval
    holder.AwaitGil();
    before = GilWaits::histogram();
    const ScopedPythonThread python;
    const Histogram& after = GilWaits::histogram();
    EXPECT_EQ(after.count(), before.count() + 1);
    EXPECT_GT(after.sum_ns(), before.sum_ns() + 20 * kMs);
  });
  world.Go("pass");
  world.RunAll();
}

TEST(GilWaitsTest, AnUnlockWithoutAWaitBeforeItIsNone) {
  const int64_t before = GilWaits::histogram().count();
  GilWaits::AfterUnlock(nullptr);
  EXPECT_EQ(GilWaits::histogram().count(), before);
  GilWaits::BeforeWait(nullptr);
  GilWaits::BeforeWait(nullptr);
  GilWaits::AfterUnlock(nullptr);
  GilWaits::AfterUnlock(nullptr);
  EXPECT_EQ(GilWaits::histogram().count(), before + 1);
}

}  // namespace
}  // namespace greenring::pyhost
