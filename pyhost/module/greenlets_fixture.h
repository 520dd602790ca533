// Tests of the module `greenring` from greenlets of a hub: all requests on one green thread, on a simulated clock.
//
//   TEST_F(GreenletsTest, ...) {
//     Run({"channel.send(1)\n", "assert channel.recv() == 1\n"});       // two requests, to their ends
//   }
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "green/scheduler.h"
#include "pyhost/core_greenlet.h"
#include "pyhost/error_log.h"
#include "pyhost/gil.h"
#include "pyhost/green_pool.h"
#include "pyhost/greenlet_state.h"
#include "pyhost/hub.h"
#include "pyhost/interrupt.h"
#include "pyhost/interrupt_errors.h"
#include "pyhost/module/module.h"
#include "pyhost/python_test.h"

namespace greenring::pyhost {

class NoErrorLog final : public ErrorLog {
 public:
  void Message(std::string_view message) override { ADD_FAILURE() << message; }
  void ApplicationText(std::string_view text) override { ADD_FAILURE() << text; }
};

class TestCancellation final : public Interrupt {
 public:
  ~TestCancellation() = default;

 private:
  PyObject* NewException() override { return InterruptErrors::NewCancelled("a test"); }
};

// In the tests' code: `cancel(i)` posts an exception for the request of the i-th source; `now()`, in seconds;
// `on_hub(function)` has the hub itself call it, soon; `end_greenlets()`.
class GreenletsTest : public PythonTest, private GreenPool::Observer {
 protected:
  static void SetUpTestSuite() {
    static bool registered = false;
    if (!std::exchange(registered, true)) RegisterModule();
    PythonTest::SetUpTestSuite();
    GreenletState::Watch();
  }

  void SetUp() override {
    PythonTest::SetUp();
    const absl::Status available = CheckGreenletHub();
    if (!available.ok()) GTEST_SKIP() << available;
    static PyMethodDef methods[] = {
        {"cancel", &GreenletsTest::Cancel, METH_O, nullptr},
        {"now", &GreenletsTest::Now, METH_NOARGS, nullptr},
        {"on_hub", &GreenletsTest::OnHub, METH_O, nullptr},
        {"end_greenlets", &GreenletsTest::EndGreenlets, METH_NOARGS, nullptr},
    };
    const PyRef self(PyCapsule_New(this, nullptr, nullptr));
    for (PyMethodDef& method : methods) {
      const PyRef function(PyCFunction_New(&method, self.get()));
      PyDict_SetItemString(globals_.get(), method.ml_name, function.get());
    }
    Execute(R"(
from greenlet import greenlet, getcurrent
from greenring import *
log = []
channel = Channel()
def spawn(function):
    'In a greenlet that is no request\'s: its parent is the hub.'
    spawned = greenlet(function, getcurrent().parent)
    on_hub(spawned.switch)
)");
  }

  // Each in a request of its own, until they and all they have started have ended. They share their globals.
  void Run(const std::vector<std::string>& sources) {
    hub_ = NewGreenletHub(&scheduler_, 1 << 20, &log_);
    GreenPool pool(&scheduler_, this);
    pool.Open();
    hub_->Start();
    size_t running = sources.size();
    cores_.resize(sources.size());
    for (size_t i = 0; i < sources.size(); ++i) {
      scheduler_.Spawn([&, i] {
        {
          TestCancellation cancellation;
          CoreGreenlet core(hub_.get());
          cores_[i] = {&core, &cancellation};
          core.Run("request", [&, i] {
            Execute(sources[i]);
            core.Withdraw(&cancellation);
          });
        }
        if (--running == 0) hub_->Stop([&] { pool.Stop(); });
      });
    }
    {
      const ScopedGilRelease release;
      scheduler_.Run(&poller_);
    }
    cores_.clear();
    hub_.reset();
    Execute("assert channel.balance == 0\n");
  }

 private:
  struct OnHubCall final : Hub::Due {
    explicit OnHubCall(PyObject* function) : function(PyRef::Share(function)) {}
    void OnDue() override {
      const std::unique_ptr<OnHubCall> self(this);
      const PyRef result(PyObject_CallNoArgs(function.get()));
      if (!result) PyErr_Print();
      EXPECT_TRUE(result);
    }
    const PyRef function;
  };

  static GreenletsTest* Of(PyObject* self) { return static_cast<GreenletsTest*>(PyCapsule_GetPointer(self, nullptr)); }

  static PyObject* Cancel(PyObject* self, PyObject* number) {
    const auto [core, cancellation] = Of(self)->cores_.at(PyLong_AsSize_t(number));
    cancellation->Rearm();
    core->Post(cancellation);
    Py_RETURN_NONE;
  }
  static PyObject* Now(PyObject* self, PyObject*) {
    GreenletsTest* const test = Of(self);
    return PyFloat_FromDouble(static_cast<double>(test->clock_.NowNs() - test->begin_ns_) / kNanosecondsPerSecond);
  }
  static PyObject* OnHub(PyObject* self, PyObject* function) {
    Of(self)->hub_->MakeDue(new OnHubCall(function));
    Py_RETURN_NONE;
  }

  static PyObject* EndGreenlets(PyObject* self, PyObject*) {
    Of(self)->hub_->EndGreenlets();
    Py_RETURN_NONE;
  }

  void OnPoolEnded() override { scheduler_.Stop(); }

  NoErrorLog log_;
  const int64_t begin_ns_ = clock_.NowNs();
  std::unique_ptr<Hub> hub_;
  std::vector<std::pair<CoreGreenlet*, Interrupt*>> cores_;
};

}  // namespace greenring::pyhost
