// Exceptions from outside for one green thread: deadlines and cancellation.
//
//   class Deadline final : public Interrupt { ... };             // owned by who asks
//   Interruptible::Of(thread)->Post(&deadline);                  // raised in that green thread, and nowhere else
//   Interruptible::Of(thread)->Withdraw(&deadline);              // not wanted any more
//
// What ends, and how the exception gets there:
//
//   parked in a call of CPython     the call fails with EINTR, and CPython's look at its signals, which follows (PEP
//     (recv, sleep, lock, ...)      475), raises the exception there
//   parked in a C library that      the second time it fails with ECANCELED: the library's own error unwinds. What goes
//     tries again after EINTR       on for kCleanUpNs all the same has the exception raised in it
//   parked in a call of ours        that call raises it (RaisePending)
//   running bytecode, or runnable   PyThreadState_SetAsyncExc: raised at the next check of the evaluation loop
//   a wait that nothing may end     when that wait is over
//
// Once an exception is raised, waits work again (clean-up may do I/O) until the next Interrupt. Several that are posted
// are raised one after the other, in their order.
//
// CPython looks at signals on its main thread only, so the green thread passes for that one (GreenThread::handle) from
// the EINTR to the look: while it does, and is not switched out, pthread_self answers so. A signal of the application's
// that arrives in that moment may have its handler called on the green thread.
//
// Scheduler's thread only; with the GIL held only where a function says so.
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "base/intrusive_list.h"
#include "green/scheduler.h"
#include "green/timer_queue.h"

extern "C" {
typedef struct _object PyObject;
typedef struct _ts PyThreadState;
}

namespace greenring::pyhost {

class CoreGreenlet;
class CurrentRequest;
class Hub;
class Interruptible;
class PythonOsThread;

// Has CPython forget that there are asynchronous exceptions, after one was taken back: it would look for it at every
// check from here on. `handle` is the current thread's; GIL held, and no error set. Never parks.
void DropAsynchronousNote(uintptr_t handle);

// One reason to interrupt, owned by who asks; withdrawn, or never posted, when it dies (checked).
class Interrupt : public ListLink {
 public:
  enum class State : uint8_t {
    kIdle,
    kPosted,  // the exception is on its way
    kRaised,  // it has been raised in the green thread
  };

  Interrupt() = default;
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  State state() const { return state_; }

  // May be posted again.
  void Rearm() { state_ = State::kIdle; }

 protected:
  ~Interrupt();

 private:
  friend class Interruptible;
  friend class PythonOsThread;  // OS threads' (python_os_thread.h)
  friend class CoreGreenlet;    // greenlets' (core_greenlet.h)

  // A new exception object; null with a Python error, which is raised instead. On the interrupted green thread; and
  // before, wherever it has to be known of what class it will be (then it is thrown away). GIL held. Never parks.
  virtual PyObject* NewException() = 0;

  // It has been raised: on that green thread, GIL held. Never parks.
  virtual void OnRaised() {}

  State state_ = State::kIdle;
};

// What of a green thread can be interrupted; ScopedPythonThread makes one.
class Interruptible {
 public:
  // Something that is bound to one green thread and may be left armed there: a timer that will post.
  class Dependent : public ListLink {
   public:
    Dependent() = default;
    Dependent(const Dependent&) = delete;
    Dependent& operator=(const Dependent&) = delete;

   protected:
    ~Dependent() = default;

   private:
    friend class Interruptible;
    friend class CoreGreenlet;

    // It is cut loose: by Reset. Its Interrupt is withdrawn already. On that green thread, GIL held. Never parks.
    virtual void OnCutLoose() = 0;

    // The stack it was bound on is lost (hub.h): the same in the loop's context, without the GIL. What is Python's
    // stays as it is.
    virtual void OnLost() = 0;
  };

  // Has the exceptions raised where CPython waits: reserves a signal, and gives it a Python-level handler. Without it
  // they are raised in running code only, and by RaisePending. Once, after the interpreter's start, on its main thread;
  // GIL held.
  static void Start();

  // Of the current green thread, which has none yet.
  Interruptible();
  // What is still posted is withdrawn. Nothing is bound to it any more (Reset).
  ~Interruptible();
  Interruptible(const Interruptible&) = delete;
  Interruptible& operator=(const Interruptible&) = delete;

  // Nullptr: it runs no Python code, or is not of ours. Never parks.
  static Interruptible* Of(const green::GreenThread* thread) {
    return static_cast<Interruptible*>(thread->host_record());
  }
  static Interruptible* Current() {
    const green::GreenThread* thread = green::GreenThread::Current();
    return thread != nullptr ? Of(thread) : nullptr;
  }

  // The same; one that has none gets one, until its end. Nullptr: not on a green thread that can be interrupted (the
  // main thread of CPython cannot, and a hub's has many requests). GIL held. Never parks.
  static Interruptible* CurrentOrNew();

  green::GreenThread* thread() const { return thread_; }

  // What PyGILState_GetThisThreadState answers on the green thread, for the switch, which asks often; nullptr: not
  // known here. For PythonSwitchHook and ScopedPythonThread.
  PyThreadState* python_state() const { return python_state_; }
  void set_python_state(PyThreadState* state) { python_state_ = state; }

  // Has the exception of `interrupt`, which is kIdle, raised. In any context of the scheduler's OS thread, with or
  // without the GIL. Never parks.
  void Post(Interrupt* interrupt);

  // If it is not raised yet it will not be. No effect if it is not posted. Never parks. Certain on the green thread
  // itself with the GIL held; from elsewhere, a green thread that computes may be faster, and sees an exception of the
  // class, without the attributes.
  void Withdraw(Interrupt* interrupt);

  // Calls `dependent` at the next Reset, unless it is unlinked before. Never parks.
  void Bind(Dependent* dependent) { dependents_.PushBack(dependent); }

  // Nothing that was posted or bound so far concerns what runs from here on: between two requests. On the green thread
  // itself, GIL held. Never parks.
  void Reset();

  // Raises the first that is posted, as the Python error of the caller. False: there is none, and no error is set. On
  // the green thread itself, GIL held: for calls of ours whose wait ended with kCancelled. Never parks.
  bool RaisePending();

  // For the exception classes: CPython makes an instance of what was raised in running code. The new exception object;
  // std::nullopt: that is not why an instance is made. Null with a Python error. The same rules.
  static std::optional<PyObject*> TakeAsynchronous();

  bool pending() const { return !posted_.empty(); }

  // The request that it runs (current_request.h); nullptr if it runs none.
  CurrentRequest* request() const { return request_; }
  void set_request(CurrentRequest* request) { request_ = request; }

  // Whose greenlets run here (hub.h); nullptr: no hub's. The request is then that of the greenlet that runs.
  Hub* hub() const { return hub_; }
  void set_hub(Hub* hub) { hub_ = hub; }

  // For posix::CancelAnswer. On a green thread; without the GIL.
  static int OnCancelled(bool may_fail);
  static bool IsUnheeded();

  // For PythonSwitchHook.
  void OnSwitchIn() {
    if (awaits_look_) Pretend();
  }
  void OnSwitchOut() {
    if (awaits_look_) EndPretence();
  }

  // What nobody has heeded is posted anew after that time.
  static constexpr int64_t kInsistNs = 100 * kNanosecondsPerMillisecond;

  // So long what a C library made of ECANCELED may unwind, and the application clean up, before the exception is raised
  // all the same.
  static constexpr int64_t kCleanUpNs = kNanosecondsPerSecond;

 private:
  // In line for the courier, a green thread that has the GIL whoever runs.
  struct Delivery : ListLink {
    explicit Delivery(Interruptible* to) : to(to) {}
    Interruptible* const to;
  };

  struct InsistTimer : green::Timer {
    explicit InsistTimer(Interruptible* on) : Timer(&Interruptible::Insist), on(on) {}
    Interruptible* const on;
  };

  static void Insist(green::Timer* timer);
  static PyObject* OnSignal(PyObject* module, PyObject* arguments);
  static void RunCourier();

  // Its stack is (green/stack_overflow.h): there is nobody to raise anything in.
  bool is_lost() const { return thread_->state() == green::GreenThread::State::kAbandoned; }

  void SendCourier();
  void StartCourier();
  // Makes CPython's asynchronous exception of this thread what it should be. GIL held.
  void SetAsynchronous();
  void TakeBackAsynchronous();

  void Pretend();
  void EndPretence() { thread_->set_handle(handle_); }
  void EndLook();
  void GrantCleanUp();
  // What was on its way is not any more: waits wait again.
  void Settle();
  PyObject* TakeFirst();

  static constinit int signal_;             // 0: Start was not called
  static constinit uintptr_t main_handle_;  // pthread_self's answer on CPython's main thread

  green::GreenThread* const thread_;
  PyThreadState* python_state_ = nullptr;
  CurrentRequest* request_ = nullptr;
  Hub* hub_ = nullptr;
  const uintptr_t handle_;  // the thread's own
  IntrusiveList<Interrupt> posted_;
  IntrusiveList<Dependent> dependents_;
  InsistTimer insist_{this};
  Delivery delivery_{this};
  bool awaits_look_ = false;      // a call has answered EINTR, and CPython has not looked yet
  bool asynchronous_ = false;     // CPython was given an asynchronous exception, and has not made an instance yet
  bool makes_exception_ = false;  // in NewException
};

}  // namespace greenring::pyhost
