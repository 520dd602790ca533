#include "pyhost/greenlet_state.h"

#include "pyhost/python_test.h"

namespace greenring::pyhost {
namespace {

green::Scheduler* current_scheduler = nullptr;

PyObject* YieldNow(PyObject*, PyObject*) {
  current_scheduler->Yield();
  Py_RETURN_NONE;
}

PyMethodDef kYieldNow = {"yield_now", YieldNow, METH_NOARGS, nullptr};

class GreenletStateTest : public PythonTest {
 protected:
  static void SetUpTestSuite() {
    PythonTest::SetUpTestSuite();
    GreenletState::Watch();
  }

  void SetUp() override {
    PythonTest::SetUp();
    const PyRef greenlet(PyImport_ImportModule("greenlet"));
    if (!greenlet) {
      PyErr_Clear();
      GTEST_SKIP() << "this Python has no greenlet";
    }
    current_scheduler = &scheduler_;
    const PyRef callable(PyCFunction_New(&kYieldNow, nullptr));
    PyDict_SetItemString(globals_.get(), "yield_now", callable.get());
  }
};

// Two green threads run greenlets and are switched in the middle of them. With one state for both, the second would
// find the first one's greenlet as its own.
TEST_F(GreenletStateTest, EachGreenThreadHasItsOwnGreenlets) {
  Execute(R"(
seen = {}
def run(me):
    import greenlet
    main = greenlet.getcurrent()
    assert main.parent is None, main
    steps = []
    def body(value):
        while True:
            yield_now()
            assert greenlet.getcurrent() is inner and inner.parent is main
            steps.append(value)
            value = main.switch(value * 2)
    inner = greenlet.greenlet(body)
    for i in range(50):
        assert inner.switch(i) == i * 2
        assert greenlet.getcurrent() is main
        yield_now()
    inner.throw(greenlet.GreenletExit)
    seen[me] = (main, steps)
)");
  RunGreen({[&] { Execute("run(0)"); }, [&] { Execute("run(1)"); }, [&] { Execute("run(2)"); }});
  Execute(R"(
assert sorted(seen) == [0, 1, 2]
assert len({id(main) for main, _ in seen.values()}) == 3
assert all(steps == list(range(50)) for _, steps in seen.values())
seen.clear()
)");
}

TEST_F(GreenletStateTest, AGreenThreadThatEndsTakesItsMainGreenletAlong) {
  Execute("import gc, greenlet, weakref\nmains = []\n");
  for (int i = 0; i < 20; ++i) {
    RunGreen({[&] { Execute("mains.append(weakref.ref(greenlet.getcurrent()))"); }});
  }
  // greenlet frees what a thread left at the next switch or pending call of one that lives.
  RunGreen({[&] { Execute("greenlet.greenlet(lambda: None).switch()\nfor _ in range(100): pass\ngc.collect()\n"); }});
  Execute("for _ in range(100): pass\ngc.collect()\nalive = sum(main() is not None for main in mains)\n");
  EXPECT_LE(std::stoi(Evaluate("alive")), 1);
  Execute("mains.clear()");
}

TEST_F(GreenletStateTest, ASwitchToAnotherGreenThreadsGreenletIsRefused) {
  Execute("import greenlet\nkept = []\nwait = [True]\n");
  RunGreen({[&] { Execute("kept.append(greenlet.getcurrent())\nwhile wait: yield_now()\n"); },
            [&] {
              Execute(R"(
try:
    kept[0].switch()
    raise AssertionError('switched to another thread')
except greenlet.error as error:
    assert 'different thread' in str(error), error
wait.clear()
)");
            }});
  Execute("kept.clear()");
}

}  // namespace
}  // namespace greenring::pyhost
