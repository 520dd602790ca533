// On a real loop, told of the GIL's mutexes by the interposer: as in a worker.
#include "pyhost/preemption.h"

#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "green/scheduler.h"
#include "gtest/gtest.h"
#include "ioloop/posix/interposer.h"
#include "ioloop/posix/posix_world.h"
#include "pyhost/gil.h"
#include "pyhost/interpreter.h"
#include "pyhost/python.h"

namespace greenring::pyhost {
namespace {

constexpr int64_t kSliceNs = 10 * kNanosecondsPerMillisecond;

void Execute(const char* source) { ASSERT_EQ(PyRun_SimpleString(source), 0) << source; }

class PreemptionTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    static auto* interpreter = new absl::StatusOr<std::unique_ptr<Interpreter>>(Interpreter::Start({}));
    ASSERT_TRUE(interpreter->ok()) << interpreter->status();
    const MemoryRange gil = GilMemory();
    posix::LeaveAlone({.begin = gil.begin,
                       .size_bytes = gil.size_bytes,
                       .before_lock = &Preemption::BeforeLock,
                       .after_unlock = &Preemption::AfterUnlock});
    Execute("import time\nspinning = True\n");
  }

  PreemptionTest() { world_.scheduler()->SetSwitchHook(&hook_); }

  void GoPython(const char* source) {
    world_.Go([source] {
      ScopedPythonThread python;
      Execute(source);
    });
  }

  void RunAll() {
    ScopedGilRelease release;
    Preemption preemption(&hook_, kSliceNs);
    world_.RunAll();
  }

  PythonSwitchHook hook_;
  posix::PosixWorld world_{{.stack_size_bytes = 1 << 20}};
};

TEST_F(PreemptionTest, WhoComputesLetsTheOthersRunAndTheirTimersFire) {
  GoPython("while spinning: pass");
  GoPython("while spinning: pass");
  GoPython("for _ in range(5): time.sleep(0.001)\nspinning = False");
  RunAll();
}

TEST_F(PreemptionTest, AGreenThreadWithoutPythonRunsBesideOneThatComputes) {
  Execute("spinning = True");
  GoPython("while spinning: pass");
  world_.Go([this] {
    world_.scheduler()->Park(Clock::Monotonic()->NowNs() + kNanosecondsPerMillisecond);
    ScopedPythonThread python;
    Execute("spinning = False");
  });
  RunAll();
}

TEST_F(PreemptionTest, OtherOsThreadsHaveTheirShare) {
  Execute("spinning = True");
  std::thread other([] {
    const PyGILState_STATE state = PyGILState_Ensure();
    Execute("while not seen: time.sleep(0.001)\nspinning = False");
    PyGILState_Release(state);
  });
  GoPython("seen = False");
  GoPython("seen = True\nwhile spinning: pass");
  Execute("seen = False");
  RunAll();
  ScopedGilRelease release;
  other.join();
}

TEST_F(PreemptionTest, WhoEndsItOnAGreenThreadGoesOnThoughAnotherComputes) {
  Execute("spinning = True");
  world_.Go([this] {
    ScopedPythonThread python;
    {
      Preemption preemption(&hook_, kSliceNs);
      Execute("time.sleep(0.001)");
    }
    Execute("spinning = False");
  });
  GoPython("while spinning: pass");
  ScopedGilRelease release;
  world_.RunAll();
}

TEST_F(PreemptionTest, WhileTheLoopWaitsThereIsNothingToWatch) {
  std::thread observer([this] {
    while (!hook_.idle()) std::this_thread::yield();
    hook_.AwaitBusy();
  });
  world_.Go([this] {
    for (int i = 0; i < 10; ++i) {
      world_.scheduler()->Park(Clock::Monotonic()->NowNs() + 5 * kNanosecondsPerMillisecond);
      EXPECT_FALSE(hook_.idle());
    }
  });
  RunAll();
  observer.join();
}

}  // namespace
}  // namespace greenring::pyhost
