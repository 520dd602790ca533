#include "pyhost/data_stack.h"

#include <string>
#include <vector>

#include "green/scheduler.h"
#include "gtest/gtest.h"
#include "pyhost/python.h"
#include "pyhost/python_test.h"

namespace greenring::pyhost {
namespace {

#if PY_VERSION_HEX >= 0x030B0000

constexpr size_t kPythonsChunkBytes = 16 * 1024;

struct Look {
  size_t chunk_bytes;  // of the chunk with the innermost frame
  size_t pooled_count;
};
std::vector<Look> looks;

PyObject* TakeLook(PyObject*, PyObject*) {
  looks.push_back({PyThreadState_Get()->datastack_chunk->size, DataStack::pooled_count()});
  Py_RETURN_NONE;
}

PyObject* Pause(PyObject*, PyObject*) {
  green::Scheduler::Current()->Yield();
  Py_RETURN_NONE;
}

PyMethodDef functions[] = {{"look", TakeLook, METH_NOARGS, nullptr}, {"pause", Pause, METH_NOARGS, nullptr}};

class DataStackTest : public PythonTest {
 protected:
  void SetUp() override {
    PythonTest::SetUp();
    looks.clear();
    for (PyMethodDef& function : functions) {
      const PyRef callable(PyCFunction_New(&function, nullptr));
      PyDict_SetItemString(globals_.get(), function.ml_name, callable.get());
    }
    Execute(
        "def call(depth):\n"
        "  if depth > 1: call(depth - 1)\n"
        "  else: look()\n");
  }

  void RunCalls(const std::string& calls) {
    RunGreen({[&] { Execute(calls); }});
  }
};

TEST_F(DataStackTest, FramesOfAFewCallsAreInWhatWasLent) {
  RunCalls("call(5)");
  ASSERT_EQ(looks.size(), 1u);
  EXPECT_EQ(looks[0].chunk_bytes, DataStack::kLentBytes);
}

TEST_F(DataStackTest, DeeperCallsUseAChunkThatThePoolHasAgainWhenTheyReturn) {
  RunCalls("call(50)\nlook()\ncall(50)\nlook()\n");
  ASSERT_EQ(looks.size(), 4u);
  EXPECT_EQ(looks[0].chunk_bytes, kPythonsChunkBytes);
  EXPECT_EQ(looks[1].chunk_bytes, DataStack::kLentBytes);
  EXPECT_GE(looks[1].pooled_count, 1u);
  EXPECT_EQ(looks[2].chunk_bytes, kPythonsChunkBytes);
  EXPECT_EQ(looks[2].pooled_count, looks[1].pooled_count - 1);
  EXPECT_EQ(looks[3].pooled_count, looks[1].pooled_count);
}

TEST_F(DataStackTest, ThePoolKeepsNoMoreThanItsMaximum) {
  Execute("import sys\nlimit = sys.getrecursionlimit()\nsys.setrecursionlimit(400_000)");
  RunCalls("call(300_000)");  // of at least 80 bytes each: far beyond 16 MiB
  Execute("sys.setrecursionlimit(limit)");
  EXPECT_EQ(DataStack::pooled_count(), DataStack::kPooledMax);
}

TEST_F(DataStackTest, AFrameLargerThanAChunkIsNotMistakenForOne) {
  Execute("exec('def wide(' + ', '.join(f'a{i}' for i in range(3_000)) + '): look()')");
  RunCalls("look()\nwide(*range(3_000))\nlook()\n");
  ASSERT_EQ(looks.size(), 3u);
  EXPECT_EQ(looks[1].chunk_bytes, 2 * kPythonsChunkBytes);
  EXPECT_EQ(looks[2].pooled_count, looks[0].pooled_count);
}

TEST_F(DataStackTest, FramesOfAParkedGreenThreadSurviveWhatOthersCallMeanwhile) {
  const auto run = [this] {
    Execute(
        "def sum_up(depth):\n"
        "  mine = depth\n"
        "  return mine + (sum_up(depth - 1) if depth else pause() or 0)\n"
        "assert sum_up(4) == 10 and sum_up(60) == 1830\n");
  };
  RunGreen({run, run, run});
}

#endif

}  // namespace
}  // namespace greenring::pyhost
