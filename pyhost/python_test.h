// What tests with an embedded CPython share: one interpreter for the process, green threads with Python states, and the
// check that nothing is left behind.
//
//   class GilTest : public PythonTest {};
//   TEST_F(GilTest, ...) {
//     RunGreen({[&] { Execute("import threading"); ... }, [&] { ... }});       // all to their ends
//   }
//
// The test body runs on the interpreter's main thread, GIL held.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "green/scheduler.h"
#include "gtest/gtest.h"
#include "pyhost/gil.h"
#include "pyhost/interpreter.h"
#include "pyhost/py_ref.h"
#include "pyhost/py_text.h"
#include "pyhost/python.h"
#include "testing/sim_clock.h"
#include "testing/sim_poller.h"

namespace greenring::pyhost {

class PythonTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    static auto* interpreter = new absl::StatusOr<std::unique_ptr<Interpreter>>(Interpreter::Start({}));
    ASSERT_TRUE(interpreter->ok()) << interpreter->status();
  }

  void SetUp() override {
    scheduler_.SetSwitchHook(&hook_);
    globals_.reset(PyDict_New());
    PyDict_SetItemString(globals_.get(), "__builtins__", PyEval_GetBuiltins());
  }

  void TearDown() override {
    EXPECT_EQ(PyErr_Occurred(), nullptr);
    EXPECT_EQ(ScopedPythonThread::live_count(), 0u);
    EXPECT_EQ(scheduler_.stats().live, 0u);
  }

  // Runs each function on a green thread with a Python state, until all have returned.
  void RunGreen(const std::vector<std::function<void()>>& functions) {
    for (const std::function<void()>& function : functions) {
      ++running_;
      scheduler_.Spawn([this, &function] {
        {
          ScopedPythonThread python;
          function();
        }
        if (--running_ == 0) scheduler_.Stop();
      });
    }
    ScopedGilRelease release;
    scheduler_.Run(&poller_);
  }

  // Statements in the test's own globals. A failure is the test's.
  void Execute(const std::string& source) {
    const PyRef result(PyRun_String(source.c_str(), Py_file_input, globals_.get(), globals_.get()));
    if (!result) PyErr_Print();
    ASSERT_TRUE(result) << source;
  }

  // str() of an expression's value.
  std::string Evaluate(const std::string& expression) {
    const PyRef value(PyRun_String(expression.c_str(), Py_eval_input, globals_.get(), globals_.get()));
    if (!value) PyErr_Print();
    const PyRef text(value ? PyObject_Str(value.get()) : nullptr);
    return text ? ToUtf8(text.get()) : "(error)";
  }

  // Blocks that CPython's allocator has given out, after a full collection: equal before and after what leaks nothing.
  int64_t AllocatedBlocks() {
    Execute("import gc, sys\ngc.collect()\nblocks = sys.getallocatedblocks()\n");
    return std::stoll(Evaluate("blocks"));
  }

  testing::SimClock clock_;
  testing::SimPoller poller_{&clock_};
  PythonSwitchHook hook_;
  green::Scheduler scheduler_{{.stack_size_bytes = 1 << 20, .clock = &clock_}};  // 3.10 recurses on the C stack
  PyRef globals_;

 private:
  int running_ = 0;
};

}  // namespace greenring::pyhost
