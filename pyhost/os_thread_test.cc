#include "pyhost/os_thread.h"

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pyhost/interrupt_errors.h"
#include "pyhost/python.h"
#include "pyhost/python_error.h"
#include "pyhost/python_os_thread.h"
#include "pyhost/python_test.h"

namespace greenring::pyhost {
namespace {

using ::testing::ElementsAre;

class Cancellation final : public Interrupt {
 public:
  explicit Cancellation(const char* reason) : reason_(reason) {}
  int raised = 0;

 private:
  PyObject* NewException() override { return InterruptErrors::NewCancelled(reason_); }
  void OnRaised() override { ++raised; }

  const char* const reason_;
};

class OsThreadTest : public PythonTest {
 protected:
  // Runs `function` on an OS thread with a Python state, to its end.
  static void RunThere(const std::function<void()>& function) {
    std::thread thread([&function] {
      const ScopedOsThreadState python;
      function();
    });
    const ScopedGilPause pause;
    thread.join();
  }

  // What ends the statements, as text; "" if nothing does.
  std::string EndOf(const std::string& source) {
    const PyRef result(PyRun_String(source.c_str(), Py_file_input, globals_.get(), globals_.get()));
    if (result) return "";
    const PyRef exception = TakeException();
    return DescribeException(exception.get());
  }

  static void Post(PythonOsThread* thread, Cancellation* cancellation) {
    thread->Post(cancellation, InterruptErrors::Cancelled());
  }
};

constexpr char kSpin[] = "for _ in range(10**9): pass\n";

TEST_F(OsThreadTest, EveryThreadHasATokenOfItsOwn) {
  const void* const here = CurrentThreadToken();
  const void* there = nullptr;
  const void* there_again = nullptr;
  RunThere([&] {
    there = CurrentThreadToken();
    there_again = CurrentThreadToken();
    EXPECT_NE(there, here);
  });
  EXPECT_EQ(there, there_again);
  RunGreen({[&] { EXPECT_NE(CurrentThreadToken(), here); }});
  EXPECT_EQ(CurrentThreadToken(), here);
}

TEST_F(OsThreadTest, ThreadsOfOursAreKnownAndOthersAreNot) {
  EXPECT_EQ(PythonOsThread::Current(), nullptr);
  RunThere([] {
    PythonOsThread* const self = PythonOsThread::Current();
    ASSERT_NE(self, nullptr);
    EXPECT_EQ(self->state(), PyThreadState_Get());
    EXPECT_EQ(self->request(), nullptr);
  });
  RunGreen({[] { EXPECT_EQ(PythonOsThread::Current(), nullptr); }});
}

TEST_F(OsThreadTest, APauseLetsOthersHaveTheGil) {
  std::atomic<bool> had_it{false};
  std::thread other([&] {
    const ScopedOsThreadState python;
    had_it = true;
  });
  {
    const ScopedGilPause pause;
    other.join();
  }
  EXPECT_TRUE(had_it.load());
  EXPECT_EQ(PyGILState_Check(), 1);
}

TEST_F(OsThreadTest, StartedThreadsGetNoSignalsButTheirFaults) {
  const auto is_blocked = [](int signal_number) {
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    return sigismember(&mask, signal_number) == 1;
  };
  {
    const ScopedThreadSignals signals;
    std::thread([&] {
      EXPECT_TRUE(is_blocked(SIGTERM));
      EXPECT_TRUE(is_blocked(SIGUSR1));
      EXPECT_FALSE(is_blocked(SIGSEGV));
    }).join();
  }
  EXPECT_FALSE(is_blocked(SIGTERM));
}

TEST_F(OsThreadTest, ALostThreadLeavesTheGil) {
  std::atomic<bool> lost{false};
  std::atomic<bool> end{false};
  std::thread thread([&] {
    PyEval_RestoreThread(PyThreadState_New(PyInterpreterState_Main()));
    AbandonGil();
    AbandonGil();  // it has none: no effect
    lost = true;
    while (!end.load()) std::this_thread::yield();
  });
  {
    const ScopedGilPause pause;
    while (!lost.load()) std::this_thread::yield();
  }  // has the GIL again
  EXPECT_EQ(Evaluate("1 + 1"), "2");
  end = true;
  thread.join();
}

// ---- errands -------------------------------------------------------------------------------------------------------

TEST_F(OsThreadTest, ErrandsAreDoneInTheirOrderWithTheGil) {
  std::vector<int> done;  // the GIL guards it
  GilErrands errands;
  for (int i = 0; i < 3; ++i) {
    errands.Post([&done, i] {
      EXPECT_EQ(PyGILState_Check(), 1);
      done.push_back(i);
    });
  }
  while (done.size() < 3) {
    const ScopedGilPause pause;
    std::this_thread::yield();
  }
  EXPECT_THAT(done, ElementsAre(0, 1, 2));
  const ScopedGilPause pause;  // its end waits for an errand that may be under way
}

TEST_F(OsThreadTest, WithoutAnErrandThereIsNoThread) { const GilErrands errands; }

TEST_F(OsThreadTest, ErrandsThatAreLeftAreDropped) {
  std::atomic<bool> began{false};
  bool dropped_ran = false;
  std::optional<GilErrands> errands(std::in_place);
  errands->Post([&] {
    began = true;
    const ScopedGilPause pause;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  });
  const ScopedGilPause pause;
  while (!began.load()) std::this_thread::yield();
  errands->Post([&] { dropped_ran = true; });
  errands.reset();
  EXPECT_FALSE(dropped_ran);
}

// ---- interrupts ----------------------------------------------------------------------------------------------------

TEST_F(OsThreadTest, AnInterruptIsRaisedInRunningCodeWithItsArguments) {
  std::atomic<PythonOsThread*> there{nullptr};
  Cancellation cancellation("too slow");
  std::string end;
  std::thread thread([&] {
    const ScopedOsThreadState python;
    there = PythonOsThread::Current();
    end = EndOf(std::string("try:\n  ") + kSpin + "except BaseException as error:\n  seen = error.reason\n  raise\n");
  });
  {
    const ScopedGilPause pause;
    while (there.load() == nullptr) std::this_thread::yield();
  }
  Post(there, &cancellation);
  EXPECT_EQ(cancellation.state(), Interrupt::State::kPosted);
  {
    const ScopedGilPause pause;
    thread.join();
  }
  EXPECT_EQ(end, "greenring.Cancelled: too slow");
  EXPECT_EQ(Evaluate("seen"), "too slow");
  EXPECT_EQ(cancellation.state(), Interrupt::State::kRaised);
  EXPECT_EQ(cancellation.raised, 1);
}

TEST_F(OsThreadTest, SeveralAreRaisedInTheirOrder) {
  RunThere([&] {
    Cancellation first("first"), second("second");
    Post(PythonOsThread::Current(), &first);
    Post(PythonOsThread::Current(), &second);
    EXPECT_EQ(EndOf(kSpin), "greenring.Cancelled: first");
    EXPECT_EQ(second.raised, 0);
    EXPECT_EQ(EndOf(kSpin), "greenring.Cancelled: second");
    EXPECT_EQ(EndOf("pass\n"), "");
  });
}

TEST_F(OsThreadTest, WhatIsWithdrawnIsNotRaised) {
  RunThere([&] {
    Cancellation first("first"), second("second");
    Post(PythonOsThread::Current(), &first);
    Post(PythonOsThread::Current(), &second);
    PythonOsThread::Current()->Withdraw(&first);
    EXPECT_EQ(first.state(), Interrupt::State::kIdle);
    EXPECT_EQ(EndOf(kSpin), "greenring.Cancelled: second");
    Post(PythonOsThread::Current(), &first);
    PythonOsThread::Current()->Withdraw(&first);
    PythonOsThread::Current()->Withdraw(&first);
    EXPECT_EQ(EndOf("for _ in range(1000): pass\n"), "");
    EXPECT_EQ(first.raised, 0);
  });
}

TEST_F(OsThreadTest, ACallOfOursRaisesItItself) {
  RunThere([&] {
    PythonOsThread* const self = PythonOsThread::Current();
    EXPECT_FALSE(self->RaisePending());
    Cancellation cancellation("now");
    Post(self, &cancellation);
    EXPECT_TRUE(self->RaisePending());
    EXPECT_EQ(DescribeException(TakeException().get()), "greenring.Cancelled: now");
    EXPECT_EQ(EndOf("for _ in range(1000): pass\n"), "") << "once";
    EXPECT_FALSE(self->RaisePending());
  });
}

TEST_F(OsThreadTest, AnInstanceOfTheApplicationsOwnIsNotIt) {
  PyDict_SetItemString(globals_.get(), "Cancelled", InterruptErrors::Cancelled());
  RunThere([&] {
    EXPECT_EQ(EndOf("raise Cancelled\n"), "greenring.Cancelled");
    Cancellation cancellation("posted");
    Post(PythonOsThread::Current(), &cancellation);
    const PyRef own(PyObject_CallNoArgs(InterruptErrors::Cancelled()));
    EXPECT_EQ(DescribeException(own.get()), "greenring.Cancelled");
    EXPECT_EQ(cancellation.raised, 0);
    EXPECT_EQ(EndOf(kSpin), "greenring.Cancelled: posted");
  });
}

TEST_F(OsThreadTest, ItIsRaisedInThatThreadOnly) {
  Cancellation cancellation("there");
  std::atomic<PythonOsThread*> there{nullptr};
  std::string end;
  std::thread thread([&] {
    const ScopedOsThreadState python;
    there = PythonOsThread::Current();
    end = EndOf(kSpin);
  });
  {
    const ScopedGilPause pause;
    while (there.load() == nullptr) std::this_thread::yield();
  }
  Post(there, &cancellation);
  EXPECT_EQ(EndOf("for _ in range(1000): pass\n"), "");
  {
    const ScopedGilPause pause;
    thread.join();
  }
  EXPECT_EQ(end, "greenring.Cancelled: there");
}

}  // namespace
}  // namespace greenring::pyhost
