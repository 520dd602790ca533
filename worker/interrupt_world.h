// For tests of interrupts: CPython on a real ring, wired as a worker is. Python code finds in its builtins
//
//   greenring                            the module
//   interrupt_in(seconds)                a Cancelled for the green thread that calls, so much later; its number
//   interrupt(ident)                     one now, for the green thread with that threading.get_ident()
//   interrupt_here()                     one now, for the green thread that calls
//   withdraw(number)
//   patient_poll(fd)                     poll(2) for input, as a C library may: again and again after EINTR; the errno
//   raised(number), pending(number)      how often it was raised; whether it is still to come
//
//   InterruptWorld world;
//   world.Go("interrupt_in(0.01)\ntime.sleep(10)");
//   world.RunAll();
#pragma once

#include <errno.h>
#include <poll.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "base/check.h"
#include "base/clock.h"
#include "green/scheduler.h"
#include "green/timer_queue.h"
#include "gtest/gtest.h"
#include "ioloop/event_loop.h"
#include "ioloop/posix/blocking_call.h"
#include "ioloop/posix/interposer.h"
#include "ioloop/posix/threads.h"
#include "ioloop/uring.h"
#include "pyhost/gil.h"
#include "pyhost/gil_waits.h"
#include "pyhost/interpreter.h"
#include "pyhost/interrupt.h"
#include "pyhost/interrupt_errors.h"
#include "pyhost/main_thread.h"
#include "pyhost/module/module.h"
#include "pyhost/preemption.h"
#include "pyhost/py_ref.h"
#include "pyhost/python.h"

namespace greenring::pyhost {

class InterruptWorld {
 public:
  InterruptWorld()
      : ring_(ioloop::Uring::Create({}).value()),
        scheduler_({.stack_size_bytes = 1 << 20}),
        loop_(ring_.get(), &scheduler_) {
    StartPythonOnce();
    scheduler_.SetSwitchHook(&hook_);
    current_ = this;
    globals_.reset(PyDict_New());
    PyDict_SetItemString(globals_.get(), "__builtins__", PyEval_GetBuiltins());
  }

  ~InterruptWorld() {
    current_ = nullptr;
    EXPECT_EQ(PyErr_Occurred(), nullptr);
    EXPECT_EQ(scheduler_.stats().live, 0u);
    EXPECT_EQ(ring_->in_flight(), 0u);
  }

  // A green thread that runs Python code, as a core of a worker does. A failure is the test's.
  void Go(std::string source) {
    ++running_;
    auto* kept = new std::string(std::move(source));
    scheduler_.Spawn([this, kept] {
      {
        ScopedPythonThread python;
        const uintptr_t handle = green::GreenThread::Current()->handle();
        Execute(*kept);
        EXPECT_EQ(green::GreenThread::Current()->handle(), handle);
        EXPECT_FALSE(Interruptible::Current()->pending());
      }
      delete kept;
      if (--running_ == 0) main_thread_->Stop();
    });
  }

  // Statements, where GIL is held.
  void Execute(const std::string& source) {
    const PyRef result(PyRun_String(source.c_str(), Py_file_input, globals_.get(), globals_.get()));
    if (!result) PyErr_Print();
    EXPECT_TRUE(result) << source;
  }

  // Until every green thread has ended. The interrupts are gone afterwards.
  void RunAll() {
    {
      ScopedGilRelease release;
      MainThread main_thread(&scheduler_, release.state());
      main_thread_ = &main_thread;
      main_thread.Start([this] {
        while (scheduler_.stats().live > 1) scheduler_.Yield();  // who has only to end
        scheduler_.Stop();
      });
      Preemption preemption(&hook_, 5 * kNanosecondsPerMillisecond);
      posix::ScopedInterception interception(&loop_);
      scheduler_.Run(&loop_);
    }
    for (Cancellation& cancellation : cancellations_) cancellation.Disarm();
    cancellations_.clear();
  }

  green::Scheduler* scheduler() { return &scheduler_; }

 private:
  struct Cancellation final : Interrupt, green::Timer {
    Cancellation(Interruptible* of, green::Scheduler* scheduler)
        : Timer([](Timer* timer) {
            auto* const self = static_cast<Cancellation*>(timer);
            self->of->Post(self);
          }),
          of(of),
          scheduler(scheduler) {}
    PyObject* NewException() override { return InterruptErrors::NewCancelled("cancelled"); }
    void OnRaised() override {
      ++raised;
      EXPECT_EQ(Interruptible::Current(), of);
    }
    void Disarm() { scheduler->RemoveTimer(this); }
    Interruptible* const of;
    green::Scheduler* const scheduler;
    int raised = 0;
  };

  static size_t Add(Interruptible* of) {
    current_->cancellations_.emplace_back(of, &current_->scheduler_);
    return current_->cancellations_.size() - 1;
  }
  static Cancellation* At(PyObject* number) { return &current_->cancellations_.at(PyLong_AsSize_t(number)); }

  static PyObject* InterruptIn(PyObject*, PyObject* seconds) {
    const size_t number = Add(Interruptible::Current());
    const int64_t delay_ns = static_cast<int64_t>(PyFloat_AsDouble(seconds) * kNanosecondsPerSecond);
    current_->scheduler_.AddTimer(&current_->cancellations_[number], Clock::Monotonic()->NowNs() + delay_ns);
    return PyLong_FromSize_t(number);
  }
  static PyObject* InterruptHere(PyObject*, PyObject*) {
    const size_t number = Add(Interruptible::Current());
    Interruptible::Current()->Post(&current_->cancellations_[number]);
    return PyLong_FromSize_t(number);
  }
  static PyObject* InterruptOther(PyObject*, PyObject* ident) {
    const auto* thread = reinterpret_cast<green::GreenThread*>(PyLong_AsUnsignedLong(ident) & ~1ul);
    const size_t number = Add(Interruptible::Of(thread));
    Interruptible::Of(thread)->Post(&current_->cancellations_[number]);
    return PyLong_FromSize_t(number);
  }
  static PyObject* Withdraw(PyObject*, PyObject* number) {
    Cancellation* const cancellation = At(number);
    cancellation->Disarm();
    cancellation->of->Withdraw(cancellation);
    Py_RETURN_NONE;
  }
  static PyObject* PatientPoll(PyObject*, PyObject* fd) {
    pollfd asked = {static_cast<int>(PyLong_AsLong(fd)), POLLIN, 0};
    int error = 0;
    Py_BEGIN_ALLOW_THREADS;
    do {
      error = poll(&asked, 1, -1) < 0 ? errno : 0;
    } while (error == EINTR);
    Py_END_ALLOW_THREADS;
    return PyLong_FromLong(error);
  }
  static PyObject* Raised(PyObject*, PyObject* number) { return PyLong_FromLong(At(number)->raised); }
  static PyObject* Pending(PyObject*, PyObject* number) {
    return PyBool_FromLong(At(number)->state() == Interrupt::State::kPosted);
  }

  static void StartPythonOnce() {
    static bool started = false;
    if (std::exchange(started, true)) return;
    RegisterModule();
    static auto* interpreter = new absl::StatusOr<std::unique_ptr<Interpreter>>(Interpreter::Start({}));
    GREENRING_CHECK(interpreter->ok());
    const MemoryRange gil = GilMemory();
    posix::LeaveAlone({.begin = gil.begin,
                       .size_bytes = gil.size_bytes,
                       .before_lock = &Preemption::BeforeLock,
                       .after_unlock =
                           [](const void* mutex) {
                             GilWaits::AfterUnlock(mutex);
                             Preemption::AfterUnlock(mutex);
                           },
                       .before_wait = &GilWaits::BeforeWait});
    posix::StartCapture capture;
    StartOneThread();
    posix::SetGreenStarts(capture.kind());
    Interruptible::Start();
    posix::SetCancelAnswer({&Interruptible::OnCancelled, &Interruptible::IsUnheeded});
    static PyMethodDef methods[] = {
        {"interrupt_in", &InterruptIn, METH_O, nullptr},
        {"interrupt_here", &InterruptHere, METH_NOARGS, nullptr},
        {"interrupt", &InterruptOther, METH_O, nullptr},
        {"withdraw", &Withdraw, METH_O, nullptr},
        {"raised", &Raised, METH_O, nullptr},
        {"pending", &Pending, METH_O, nullptr},
        {"patient_poll", &PatientPoll, METH_O, nullptr},
    };
    for (PyMethodDef& method : methods) {
      const PyRef function(PyCFunction_New(&method, nullptr));
      PyDict_SetItemString(PyEval_GetBuiltins(), method.ml_name, function.get());
    }
    const PyRef module(PyImport_ImportModule("greenring"));
    PyDict_SetItemString(PyEval_GetBuiltins(), "greenring", module.get());
  }

  static inline InterruptWorld* current_ = nullptr;

  std::unique_ptr<ioloop::Uring> ring_;
  PythonSwitchHook hook_;
  green::Scheduler scheduler_;
  ioloop::EventLoop loop_;
  PyRef globals_;
  std::deque<Cancellation> cancellations_;
  MainThread* main_thread_ = nullptr;
  int running_ = 0;
};

}  // namespace greenring::pyhost
