// The hub of engine `greenlet`, and the greenlets of cores on it: no loop, no requests.
#include "pyhost/hub.h"

#include <memory>
#include <string>
#include <vector>

#include "pyhost/core_greenlet.h"
#include "pyhost/greenlet_state.h"
#include "pyhost/interrupt.h"
#include "pyhost/interrupt_errors.h"
#include "pyhost/python_test.h"

namespace greenring::pyhost {
namespace {

class NoLog final : public ErrorLog {
 public:
  void Message(std::string_view message) override { ADD_FAILURE() << message; }
  void ApplicationText(std::string_view text) override { ADD_FAILURE() << text; }
};

class Cancellation final : public Interrupt {
 public:
  ~Cancellation() = default;
  bool raised = false;

 private:
  PyObject* NewException() override { return InterruptErrors::NewCancelled("a test"); }
  void OnRaised() override { raised = true; }
};

class HubTest : public PythonTest {
 protected:
  static void SetUpTestSuite() {
    PythonTest::SetUpTestSuite();
    GreenletState::Watch();
  }

  void SetUp() override {
    PythonTest::SetUp();
    const absl::Status available = CheckGreenletHub();
    if (!available.ok()) GTEST_SKIP() << available;
    hub_ = NewGreenletHub(&scheduler_, 1 << 20, &log_);
  }

  // Each function on a core of its own, until all have returned. The greenlets run what the functions give them.
  void RunCores(const std::vector<std::function<void(CoreGreenlet*)>>& functions) {
    size_t running = functions.size();
    hub_->Start();
    for (const auto& function : functions) {
      scheduler_.Spawn([this, &running, &function] {
        {
          CoreGreenlet core(hub_.get());
          function(&core);
        }
        if (--running == 0) hub_->Stop([this] { scheduler_.Stop(); });
      });
    }
    const ScopedGilRelease release;
    scheduler_.Run(&poller_);
  }

  // What a greenlet does when it waits: OnLoop with a park of the core's green thread.
  bool Sleep(CoreGreenlet* core, int64_t duration_ns) {
    auto ended = std::make_shared<green::ParkResult>();
    green::Scheduler* const scheduler = &scheduler_;
    core->OnLoop(
        [ended, scheduler, duration_ns] { *ended = scheduler->Park(scheduler->clock()->NowNs() + duration_ns); });
    return *ended == green::ParkResult::kTimedOut;
  }

  NoLog log_;
  std::unique_ptr<Hub> hub_;
  std::vector<std::string> steps_;
};

TEST_F(HubTest, GreenletsWaitBesideEachOther) {
  const auto core = [this](const char* name, int64_t duration_ns) {
    return [=, this](CoreGreenlet* core) {
      EXPECT_TRUE(core->Run(name, [=, this] {
        EXPECT_EQ(CoreGreenlet::Current(), core);
        steps_.push_back(std::string(name) + " begins");
        EXPECT_TRUE(Sleep(core, duration_ns));
        EXPECT_EQ(CoreGreenlet::Current(), core);
        steps_.push_back(std::string(name) + " ends");
      }));
      EXPECT_FALSE(core->is_current());
    };
  };
  RunCores({core("a", 3'000'000), core("b", 1'000'000)});
  EXPECT_EQ(steps_, (std::vector<std::string>{"a begins", "b begins", "b ends", "a ends"}));
}

TEST_F(HubTest, AYieldLetsTheOthersRunFirst) {
  const auto core = [this](const char* name) {
    return [=, this](CoreGreenlet* core) {
      core->Run(name, [=, this] {
        for (int i = 0; i < 2; ++i) {
          steps_.push_back(name);
          EXPECT_TRUE(core->Yield());
        }
      });
    };
  };
  RunCores({core("a"), core("b")});
  EXPECT_EQ(steps_, (std::vector<std::string>{"a", "b", "a", "b"}));
}

// `second` yields; then another core switches to the request's first greenlet, which yields too.
TEST_F(HubTest, GreenletsOfOneRequestYieldBesideEachOther) {
  static std::vector<std::string>* steps;
  steps = &steps_;
  static PyMethodDef functions[] = {
      {"yield_", [](PyObject*, PyObject*) { return CoreGreenlet::Current()->Yield() ? Py_NewRef(Py_None) : nullptr; },
       METH_NOARGS, nullptr},
      {"step",
       [](PyObject*, PyObject* text) {
         steps->push_back(PyUnicode_AsUTF8(text));
         return Py_NewRef(Py_None);
       },
       METH_O, nullptr}};
  for (PyMethodDef& function : functions) {
    PyDict_SetItemString(globals_.get(), function.ml_name, PyRef(PyCFunction_New(&function, nullptr)).get());
  }
  Execute(
      "import greenlet\n"
      "def second():\n"
      "  yield_(); step('second')\n"
      "def request():\n"
      "  global first\n"
      "  first = greenlet.getcurrent()\n"
      "  other = greenlet.greenlet(second)\n"
      "  other.switch()\n"
      "  first.parent = back\n"
      "  yield_(); step('first')\n"
      "def other_request():\n"
      "  global back\n"
      "  back = greenlet.getcurrent()\n"
      "  first.switch()\n");
  const auto request = [this](CoreGreenlet* core) { core->Run("request", [this] { Execute("request()"); }); };
  const auto other = [this](CoreGreenlet* core) { core->Run("other", [this] { Execute("other_request()"); }); };
  RunCores({request, other});
  EXPECT_EQ(steps_, (std::vector<std::string>{"second", "first"}));
}

TEST_F(HubTest, AnInterruptEndsACallOfItsOwnCoreOnly) {
  Cancellation cancellation;
  const auto interrupted = [&](CoreGreenlet* core) {
    core->Run("interrupted", [&, core] {
      struct At : green::Timer {
        At(CoreGreenlet* core, Cancellation* what)
            : Timer([](green::Timer* timer) { static_cast<At*>(timer)->core->Post(static_cast<At*>(timer)->what); }),
              core(core),
              what(what) {}
        CoreGreenlet* const core;
        Cancellation* const what;
      };
      const auto at = std::make_unique<At>(core, &cancellation);
      scheduler_.AddTimer(at.get(), clock_.NowNs() + 1'000'000);
      EXPECT_FALSE(Sleep(core, 1'000'000'000));
      EXPECT_TRUE(core->RaisePending());
      EXPECT_TRUE(PyErr_ExceptionMatches(InterruptErrors::Cancelled()));
      PyErr_Clear();
      EXPECT_TRUE(Sleep(core, 1'000'000)) << "clean-up may wait again";
      steps_.push_back("interrupted");
    });
  };
  const auto other = [&](CoreGreenlet* core) {
    core->Run("other", [&, core] {
      EXPECT_TRUE(Sleep(core, 10'000'000));
      EXPECT_FALSE(core->RaisePending());
      steps_.push_back("other");
    });
  };
  RunCores({interrupted, other});
  EXPECT_TRUE(cancellation.raised);
  EXPECT_EQ(steps_, (std::vector<std::string>{"interrupted", "other"}));
}

TEST_F(HubTest, AnInterruptIsThrownIntoAGreenletThatWaitsInTheHub) {
  Cancellation cancellation;
  CoreGreenlet* waiting = nullptr;
  const auto waits = [&](CoreGreenlet* core) {
    core->Run("waits", [&, core] {
      waiting = core;
      EXPECT_FALSE(hub_->SwitchToHub());
      EXPECT_TRUE(PyErr_ExceptionMatches(InterruptErrors::Cancelled()));
      PyErr_Clear();
      steps_.push_back("thrown");
    });
  };
  const auto posts = [&](CoreGreenlet* core) {
    core->Run("posts", [&, core] {
      EXPECT_TRUE(Sleep(core, 1'000'000));
      waiting->Post(&cancellation);
    });
  };
  RunCores({waits, posts});
  EXPECT_TRUE(cancellation.raised);
  EXPECT_EQ(steps_, std::vector<std::string>{"thrown"});
}

TEST_F(HubTest, AnInterruptIsRaisedInCodeThatRunsAndWithdrawnWhenItLeaves) {
  Cancellation cancellation;
  const auto computes = [&](CoreGreenlet* core) {
    core->Run("computes", [&, core] {
      core->Post(&cancellation);
      EXPECT_TRUE(Interruptible::Current()->pending()) << "the hub's green thread is to be interrupted";
      core->Withdraw(&cancellation);
      EXPECT_FALSE(Interruptible::Current()->pending());
    });
  };
  RunCores({computes});
  EXPECT_FALSE(cancellation.raised);
}

TEST_F(HubTest, SwitchesAreCountedAndTheCoreIsFoundByItsGreenThread) {
  uint64_t switches = 0;
  const auto waits = [&](CoreGreenlet* core) {
    core->Run("waits", [&, core] {
      EXPECT_TRUE(Sleep(core, 1'000'000));
      EXPECT_TRUE(Sleep(core, 1'000'000));
      switches = core->switches();
    });
    EXPECT_EQ(CoreGreenlet::Of(core->thread()), core);
  };
  RunCores({waits});
  EXPECT_EQ(switches, 2u);
}

}  // namespace
}  // namespace greenring::pyhost
