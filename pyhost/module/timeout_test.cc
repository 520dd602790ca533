// On a simulated clock, which moves when all are parked. (In real waits: worker/timeout_test.cc.)
#include <string>
#include <utility>

#include "base/clock.h"
#include "green/scheduler.h"
#include "pyhost/gil.h"
#include "pyhost/interrupt.h"
#include "pyhost/module/module.h"
#include "pyhost/python_test.h"

namespace greenring::pyhost {
namespace {

// park(seconds): as a call of ours waits. True: the time is over.
PyObject* Park(PyObject*, PyObject* seconds) {
  green::Scheduler* const scheduler = green::Scheduler::Current();
  const int64_t delay_ns = static_cast<int64_t>(PyFloat_AsDouble(seconds) * kNanosecondsPerSecond);
  const green::ParkResult result = scheduler->Park(scheduler->clock()->NowNs() + delay_ns);
  if (result == green::ParkResult::kCancelled && Interruptible::Current()->RaisePending()) return nullptr;
  return PyBool_FromLong(result == green::ParkResult::kTimedOut);
}

// park_blindly(seconds): the same, and a driver's error instead of the interrupt.
PyObject* ParkBlindly(PyObject*, PyObject* seconds) {
  green::Scheduler* const scheduler = green::Scheduler::Current();
  const int64_t delay_ns = static_cast<int64_t>(PyFloat_AsDouble(seconds) * kNanosecondsPerSecond);
  if (scheduler->Park(scheduler->clock()->NowNs() + delay_ns) == green::ParkResult::kTimedOut) Py_RETURN_NONE;
  scheduler->ClearCancel();
  PyErr_SetString(PyExc_OSError, "the connection is gone");
  return nullptr;
}

PyObject* Now(PyObject*, PyObject*) {
  return PyFloat_FromDouble(static_cast<double>(green::Scheduler::Current()->clock()->NowNs()) / kNanosecondsPerSecond);
}

PyObject* Reset(PyObject*, PyObject*) {
  Interruptible::Current()->Reset();
  Py_RETURN_NONE;
}

class TimeoutTest : public PythonTest {
 protected:
  static void SetUpTestSuite() {
    static bool registered = false;
    if (!std::exchange(registered, true)) RegisterModule();
    PythonTest::SetUpTestSuite();
  }

  void SetUp() override {
    PythonTest::SetUp();
    static PyMethodDef methods[] = {
        {"park", &Park, METH_O, nullptr},
        {"park_blindly", &ParkBlindly, METH_O, nullptr},
        {"now", &Now, METH_NOARGS, nullptr},
        {"reset", &Reset, METH_NOARGS, nullptr},
    };
    for (PyMethodDef& method : methods) {
      const PyRef function(PyCFunction_New(&method, nullptr));
      PyDict_SetItemString(globals_.get(), method.ml_name, function.get());
    }
    Execute("import greenring, math\nstart = 0\n");
  }

  void Run(const std::string& source) {
    RunGreen({[&] {
      Execute("start = now()\n" + source);
      EXPECT_FALSE(Interruptible::Current()->pending());
      EXPECT_FALSE(green::GreenThread::Current()->cancel_pending());
    }});
  }
};

TEST_F(TimeoutTest, RaisesInTheBlockWhenTheTimeIsOver) {
  Run(R"(
try:
    with greenring.timeout(2) as t:
        assert t.remaining == 2 and not t.expired and t.seconds == 2
        park(1)
        assert t.remaining == 1
        park(5)
    assert False
except greenring.RequestTimeout as error:
    assert error.timeout is t and error.seconds == 2
assert now() - start == 2 and t.expired and t.remaining == 0
)");
}

TEST_F(TimeoutTest, ABlockThatEndsInTimeIsLeftAlone) {
  Run(R"(
with greenring.timeout(2) as t:
    assert park(1)
assert not t.expired
assert park(5)
assert now() - start == 6
)");
}

TEST_F(TimeoutTest, TheNeighbourIsNotInterrupted) {
  RunGreen({[&] {
              Execute(
                  "try:\n    with greenring.timeout(1): park(5)\n"
                  "    assert False\nexcept greenring.RequestTimeout: pass\n");
            },
            [&] { Execute("assert park(3)\n"); }});
}

TEST_F(TimeoutTest, WithoutTimeTheFirstWaitRaises) {
  Run(R"(
for seconds in 0, -1:
    reached = False
    try:
        with greenring.timeout(seconds) as t:
            reached = True
            park(1)
        assert False
    except greenring.RequestTimeout:
        pass
    assert reached and t.expired
assert now() == start
)");
}

TEST_F(TimeoutTest, WithoutTimeABlockThatDoesNotWaitRaisesAtItsEnd) {
  Run(R"(
try:
    with greenring.timeout(0) as t:
        done = True
    assert False
except greenring.RequestTimeout as error:
    assert error.timeout is t and error.__cause__ is None
assert done and park(1)
)");
}

TEST_F(TimeoutTest, InfinityNeverExpires) {
  Run("with greenring.timeout(math.inf) as t:\n    park(1e6)\n    assert t.remaining == math.inf\n");
}

TEST_F(TimeoutTest, ADriversErrorIsTheCause) {
  Run(R"(
try:
    with greenring.timeout(1):
        park_blindly(5)
    assert False
except greenring.RequestTimeout as error:
    assert isinstance(error.__cause__, OSError)
assert park(1)
)");
}

TEST_F(TimeoutTest, AnErrorOfItsOwnPassesABlockThatIsInTime) {
  Run(R"(
try:
    with greenring.timeout(1):
        1 / 0
    assert False
except ZeroDivisionError:
    pass
assert park(3)
)");
}

TEST_F(TimeoutTest, TheOuterOnesExceptionIsNotReplacedByTheInnerOnes) {
  Run(R"(
try:
    with greenring.timeout(1) as outer:
        with greenring.timeout(1) as inner:
            park(5)
    assert False
except greenring.RequestTimeout as error:
    assert error.timeout in (outer, inner)
assert now() - start == 1 and park(3)
)");
}

TEST_F(TimeoutTest, MayBeEnteredAgainButNotTwiceAtATime) {
  Run(R"(
t = greenring.timeout(1)
for _ in range(3):
    try:
        with t: park(5)
        assert False
    except greenring.RequestTimeout:
        pass
with t:
    try:
        with t: assert False
    except RuntimeError as error:
        assert "entered already" in str(error)
assert not t.expired and park(3)
)");
}

TEST_F(TimeoutTest, CanBeExtended) {
  Run(R"(
t = greenring.timeout(1)
try:
    t.extend(1)
    assert False
except RuntimeError:
    pass
try:
    with t:
        t.extend(2)
        assert t.remaining == 3
        park(10)
    assert False
except greenring.RequestTimeout:
    pass
assert now() - start == 3
try:
    with greenring.timeout(1) as t: t.extend(-1)
    assert False
except ValueError:
    pass
)");
}

TEST_F(TimeoutTest, LimitsEachCallOfAFunctionAsADecorator) {
  Run(R"(
@greenring.timeout(1)
def wait(seconds, *, answer):
    "documented"
    park(seconds)
    return answer
class Waiter:
    @greenring.timeout(1)
    def wait(self, seconds): return park(seconds)
assert wait.__name__ == "wait" and wait.__doc__ == "documented"
assert wait(0.5, answer=42) == 42 and Waiter().wait(0.5)
for call in lambda: wait(3, answer=1), lambda: Waiter().wait(3):
    try:
        call()
        assert False
    except greenring.RequestTimeout:
        pass
assert now() - start == 3
)");
}

TEST_F(TimeoutTest, ABlockThatIsNeverLeftConcernsNobodyAfterAReset) {
  Run(R"(
def chunks():
    with greenring.timeout(1): yield
left = chunks()
next(left)
expired = greenring.timeout(0)
expired.__enter__()
reset()                      # as between two requests
assert park(5)
try:
    next(left)
except StopIteration:
    pass
assert not expired.__exit__(None, None, None)
)");
}

TEST_F(TimeoutTest, ABlockThatIsNeverLeftDiesWithItsGreenThread) {
  RunGreen({[&] { Execute("kept = greenring.timeout(1)\nkept.__enter__()\n"); }, [&] { Execute("assert park(5)\n"); }});
  Execute("del kept\n");
}

TEST_F(TimeoutTest, RefusesWhatIsNoGreenThreadAndWhatIsNoNumber) {
  Execute(R"(
try:
    with greenring.timeout(1): assert False
except RuntimeError as error:
    assert "--python_threads=green" in str(error)
for wrong, kind in (("1", TypeError), (math.nan, ValueError)):
    try:
        greenring.timeout(wrong)
        assert False
    except kind:
        pass
)");
}

TEST_F(TimeoutTest, LeavesNoReferenceBehind) {
  const std::string source =
      "def once():\n"
      "    try:\n"
      "        with greenring.timeout(1): park(5)\n"
      "    except greenring.RequestTimeout: pass\n"
      "    with greenring.timeout(1): park(0.5)\n"
      "for _ in range(100): once()\n";
  Run(source);
  const int64_t before = AllocatedBlocks();
  Run(source);
  EXPECT_LT(AllocatedBlocks() - before, 50);
}

}  // namespace
}  // namespace greenring::pyhost
