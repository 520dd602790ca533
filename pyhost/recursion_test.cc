#include "pyhost/recursion.h"

#include <functional>
#include <string>

#include "base/sanitizers.h"
#include "green/scheduler.h"
#include "green/stack_overflow.h"
#include "pyhost/gil.h"
#include "pyhost/python_test.h"
#include "testing/sim_clock.h"
#include "testing/sim_poller.h"

namespace greenring::pyhost {
namespace {

class RecursionTest : public PythonTest {
 protected:
  void SetUp() override {
    PythonTest::SetUp();
    if (GREENRING_ASAN || GREENRING_TSAN) GTEST_SKIP() << "its frames need other stacks";
    green::InstallStackOverflowHandler();
    Execute(R"(
import sys

def nest(depth):
    if depth:
        sorted([0], key=lambda _: nest(depth - 1))

def ends(depth):
    try:
        nest(depth)
        return 'done'
    except RecursionError as error:
        return str(error)

def calls(depth=0):
    try:
        return calls(depth + 1)
    except RecursionError:
        return depth
)");
  }

  // As a green thread has it, below PythonTest's own: small enough to be used up before CPython's count is.
  static constexpr size_t kStackBytes = 256 * 1024;

  // Runs `function` on a green thread with a Python state and such a stack.
  void RunOnSmallStack(const std::function<void(green::Scheduler*)>& function) {
    green::StackOverflowSignalStack signal_stack;
    testing::SimPoller poller{&clock_};
    PythonSwitchHook hook;
    green::Scheduler scheduler{{.stack_size_bytes = kStackBytes, .clock = &clock_}};
    scheduler.SetSwitchHook(&hook);
    scheduler.Spawn([&] {
      {
        ScopedPythonThread python;
        function(&scheduler);
      }
      scheduler.Stop();
    });
    ScopedGilRelease release;
    scheduler.Run(&poller);
  }
};

TEST_F(RecursionTest, UsedUpStackIsARecursionErrorLongBeforeTheLimit) {
  RunOnSmallStack([&](green::Scheduler* scheduler) {
    EXPECT_EQ(Evaluate("ends(20)"), "done");
    EXPECT_EQ(scheduler->stats().overflows, 0u);
    EXPECT_NE(Evaluate("ends(450)").find("maximum recursion depth exceeded"), std::string::npos);
    EXPECT_EQ(scheduler->stats().overflows, 1u);
    EXPECT_EQ(scheduler->stats().abandoned, 0u);
  });
}

TEST_F(RecursionTest, FullDepthIsBackOnceTheReserveIsLeft) {
#if PY_VERSION_HEX < 0x030B0000
  GTEST_SKIP() << "CPython 3.10 recurses on the C stack: the full depth needs more than this one";
#endif
  RunOnSmallStack([&](green::Scheduler* scheduler) {
    const std::string before = Evaluate("calls()");
    for (int i = 0; i < 5; ++i) {
      EXPECT_NE(Evaluate("ends(450)"), "done");
      scheduler->LeaveReserve();
      EXPECT_EQ(Evaluate("calls()"), before);
    }
    EXPECT_EQ(scheduler->stats().overflows, 5u);
  });
}

TEST_F(RecursionTest, FullDepthIsBackAfterAWaitWithoutTheGil) {
  RunOnSmallStack([&](green::Scheduler* scheduler) {
    const std::string before = Evaluate("calls()");
    EXPECT_NE(Evaluate("ends(450)"), "done");
    Py_BEGIN_ALLOW_THREADS;
    scheduler->Park(clock_.NowNs() + 1);
    Py_END_ALLOW_THREADS;
    EXPECT_EQ(Evaluate("calls()"), before);
  });
}

TEST_F(RecursionTest, LimitChangedMeanwhileHoldsAfterwards) {
#if PY_VERSION_HEX < 0x030B0000
  GTEST_SKIP() << "CPython 3.10 recurses on the C stack: the full depth needs more than this one";
#endif
  RunOnSmallStack([&](green::Scheduler* scheduler) {
    EXPECT_NE(Evaluate("ends(450)"), "done");
    Execute("sys.setrecursionlimit(1500)");
    scheduler->LeaveReserve();
    const int calls = std::stoi(Evaluate("calls()"));
    EXPECT_GT(calls, 1400);
    EXPECT_LT(calls, 1500);
    Execute("sys.setrecursionlimit(1000)");
  });
}

TEST_F(RecursionTest, CodeThatHasGivenTheGilUpIsNotMeant) {
  RunOnSmallStack([&](green::Scheduler* scheduler) {
    green::GreenThread* self = scheduler->current();
    Py_BEGIN_ALLOW_THREADS;
    EXPECT_FALSE(ExhaustRecursion(self));
    Py_END_ALLOW_THREADS;
    EXPECT_TRUE(ExhaustRecursion(self));
    RestoreRecursion(self);
    EXPECT_EQ(Evaluate("ends(20)"), "done");
  });
}

std::string described;

PyMethodDef kDescribe = {"describe",
                         [](PyObject*, PyObject*) -> PyObject* {
                           described = DescribeAbandonedStack(PyThreadState_Get());
                           Py_RETURN_NONE;
                         },
                         METH_NOARGS, nullptr};

TEST_F(RecursionTest, StackOfAnAbandonedOneIsDescribed) {
  RunOnSmallStack([&](green::Scheduler* scheduler) {
    Execute("def inner():\n    return describe()\n");
    const PyRef function(PyCFunction_New(&kDescribe, nullptr));
    PyDict_SetItemString(globals_.get(), "describe", function.get());
    Execute("inner()");
    PyDict_DelItemString(globals_.get(), "describe");
  });
  EXPECT_EQ(DescribeAbandonedStack(nullptr), "");
#if PY_VERSION_HEX < 0x030B0000 || PY_VERSION_HEX >= 0x030D0000
  if (described.empty()) GTEST_SKIP() << "this CPython does not let us ask";
#endif
  EXPECT_NE(described.find("in inner"), std::string::npos) << described;
}

}  // namespace
}  // namespace greenring::pyhost
