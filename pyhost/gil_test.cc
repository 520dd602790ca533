#include <string>

#include "pyhost/python_test.h"

namespace greenring::pyhost {
namespace {

// What Python code of a test calls to reach the scheduler.
green::Scheduler* current_scheduler = nullptr;
green::GreenThread* parked_thread = nullptr;

PyObject* YieldNow(PyObject*, PyObject*) {
  current_scheduler->Yield();
  Py_RETURN_NONE;
}

PyObject* YieldWithoutGil(PyObject*, PyObject*) {
  Py_BEGIN_ALLOW_THREADS;
  current_scheduler->Yield();
  Py_END_ALLOW_THREADS;
  Py_RETURN_NONE;
}

// Called on other OS threads too.
PyObject* UnparkRemote(PyObject*, PyObject*) {
  current_scheduler->UnparkRemote(parked_thread);
  Py_RETURN_NONE;
}

PyMethodDef kFunctions[] = {
    {"yield_now", YieldNow, METH_NOARGS, nullptr},
    {"yield_without_gil", YieldWithoutGil, METH_NOARGS, nullptr},
    {"unpark_remote", UnparkRemote, METH_NOARGS, nullptr},
};

class GilTest : public PythonTest {
 protected:
  void SetUp() override {
    PythonTest::SetUp();
    current_scheduler = &scheduler_;
    for (PyMethodDef& function : kFunctions) {
      const PyRef callable(PyCFunction_New(&function, nullptr));
      PyDict_SetItemString(globals_.get(), function.ml_name, callable.get());
    }
  }

  // Two green threads run `source` with `me` = 0 and 1, each calling `step` where the source says STEP.
  void RunTwo(std::string source, const std::string& step) {
    for (size_t at; (at = source.find("STEP")) != std::string::npos;) source.replace(at, 4, step);
    Execute("def run(me):\n" + source);
    RunGreen({[this] { Execute("run(0)"); }, [this] { Execute("run(1)"); }});
  }
};

class SwitchTest : public GilTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(SwitchTest, ThreadLocalsContextVariablesAndExceptionsAreEachGreenThreadsOwn) {
  Execute("import contextvars, sys, threading\nlocal = threading.local()\nvariable = contextvars.ContextVar('v')\n");
  RunTwo(R"(
    assert not hasattr(local, 'me') and variable.get(None) is None
    local.me = me
    variable.set(me)
    try:
        raise ValueError(me)
    except ValueError:
        STEP
        assert sys.exc_info()[1].args == (me,)
    assert sys.exc_info()[1] is None
    STEP
    assert local.me == me and variable.get() == me
)",
         GetParam());
}

TEST_P(SwitchTest, EachGreenThreadHasItsOwnRecursionDepth) {
  Execute("import sys\nlimit = sys.getrecursionlimit()\n");
  RunTwo(R"(
    def deep(n):
        if n == 0:
            STEP
            return 0
        return 1 + deep(n - 1)
    assert deep(limit * 2 // 3) == limit * 2 // 3
)",
         GetParam());
}

TEST_P(SwitchTest, GeneratorsAndWithBlocksSurviveSwitches) {
  Execute("order = []\n");
  RunTwo(R"(
    def numbers():
        for i in range(3):
            STEP
            yield i
    for i in numbers():
        order.append((i, me))
        STEP
)",
         GetParam());
  EXPECT_EQ(Evaluate("sorted(order)"), "[(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]");
  EXPECT_NE(Evaluate("order == sorted(order, key=lambda pair: pair[1])"), "True") << "they did not interleave";
}

INSTANTIATE_TEST_SUITE_P(Gil, SwitchTest, ::testing::Values("yield_now()", "yield_without_gil()"),
                         [](const auto& info) { return info.index == 0 ? "HoldingTheGil" : "InsideAllowThreads"; });

TEST_F(GilTest, GreenThreadsWithAndWithoutTheGilAlternate) {
  Execute(
      "count = 0\ndef run(step):\n    global count\n    for _ in range(100):\n        step()\n        count += 1\n");
  RunGreen({[this] { Execute("run(yield_now)"); }, [this] { Execute("run(yield_without_gil)"); },
            [this] { Execute("run(yield_now)"); }});
  EXPECT_EQ(Evaluate("count"), "300");
}

TEST_F(GilTest, EachGreenThreadHasAStateOfItsOwnThatPyGilStateFinds) {
  PyThreadState* states[2];
  for (int i = 0; i < 2; ++i) states[i] = nullptr;
  const auto check = [&](int i) {
    return [&, i] {
      states[i] = PyThreadState_Get();
      EXPECT_EQ(PyGILState_GetThisThreadState(), states[i]);
      scheduler_.Yield();
      EXPECT_EQ(PyThreadState_Get(), states[i]);
      EXPECT_EQ(PyGILState_Check(), 1);
      Py_BEGIN_ALLOW_THREADS;
      scheduler_.Yield();
      const PyGILState_STATE gil = PyGILState_Ensure();  // as a C library's callback does
      EXPECT_EQ(PyThreadState_Get(), states[i]);
      scheduler_.Yield();
      PyGILState_Release(gil);
      Py_END_ALLOW_THREADS;
    };
  };
  const std::vector<std::function<void()>> both = {check(0), check(1)};
  RunGreen(both);
  EXPECT_NE(states[0], states[1]);
}

TEST_F(GilTest, GreenThreadsWithoutPythonRunBesideThoseWithIt) {
  int turns = 0;
  scheduler_.Spawn([this, &turns] {
    for (; turns < 50; ++turns) scheduler_.Yield();
  });
  Execute("def run():\n    for _ in range(100): yield_now()\n");
  RunGreen({[this] { Execute("run()"); }});
  EXPECT_EQ(turns, 50);
}

TEST_F(GilTest, APythonThreadRunsWhileTheLoopWaits) {
  Execute(
      "import threading\nran = []\ndef other():\n    ran.append(threading.current_thread().name)\n    "
      "unpark_remote()\n");
  RunGreen({[this] {
    parked_thread = scheduler_.current();
    Execute("thread = threading.Thread(target=other, name='other')\nthread.start()\n");
    scheduler_.Park();
    Execute("thread.join()\n");
  }});
  EXPECT_EQ(Evaluate("ran"), "['other']");
}

TEST_F(GilTest, APythonThreadGetsItsShareOfALoopThatNeverWaits) {
  Execute(R"(
import threading
count, stop = 0, False
def other():
    global count
    while not stop:
        count += 1
def run():
    for _ in range(1_000_000):
        yield_now()
        if count > 1000:
            return True
    return False
)");
  std::string progressed[2];
  const auto run = [&](int i) { return [&, i] { progressed[i] = Evaluate("run()"); }; };
  const std::vector<std::function<void()>> both = {run(0), run(1)};
  Execute("thread = threading.Thread(target=other)\nthread.start()\n");
  RunGreen(both);
  EXPECT_EQ(progressed[0], "True");
  EXPECT_EQ(progressed[1], "True");
  Execute("stop = True\nthread.join()\n");
}

TEST_F(GilTest, AThreadsLocalsAreDestroyedWithIt) {
  Execute(R"(
import threading
local, destroyed = threading.local(), []
class Noisy:
    def __del__(self):
        yield_now()
        destroyed.append(True)
)");
  RunGreen({[this] { Execute("local.noisy = Noisy()\n"); }, [this] { Execute("yield_now()\n"); }});
  EXPECT_EQ(Evaluate("destroyed"), "[True]");
}

TEST_F(GilTest, AThousandGreenThreadsLeaveNothingBehind) {
  Execute(
      "import contextvars, threading\nlocal = threading.local()\nv = contextvars.ContextVar('v')\n"
      "def run():\n    local.x = v.set([])\n    yield_now()\n");
  const auto thousand = [this] { RunGreen(std::vector<std::function<void()>>(1000, [this] { Execute("run()"); })); };
  thousand();
  const int64_t before = AllocatedBlocks();
  thousand();
  EXPECT_NEAR(AllocatedBlocks(), before, 300);  // of 1000 green threads
}

}  // namespace
}  // namespace greenring::pyhost
