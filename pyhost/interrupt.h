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
//     tries again after EINTR       on for kUnwindNs all the same has the exception raised in it
//   parked in a call of ours        that call raises it (RaisePending)
//   running bytecode, or runnable   PyThreadState_SetAsyncExc: raised at the next check of the evaluation loop
//   a wait that nothing may end     when that wait is over
//
// Once an exception is raised, waits work again (clean-up may do I/O) until the next Interrupt. Several that are posted
// are raised one after the other, in their order.
//
// Scheduler's thread only; with the GIL held only where a function says so.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "base/intrusive_list.h"
#include "green/scheduler.h"

extern "C" {
typedef struct _object PyObject;
}

namespace greenring::pyhost {

class CurrentRequest;
class Interruptible;

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

  // A new exception object, on the interrupted green thread; null with a Python error, which is raised instead. GIL
  // held. Never parks.
  virtual PyObject* NewException() = 0;

  // It has been raised: on that green thread, GIL held. Never parks.
  virtual void OnRaised() {}

  State state_ = State::kIdle;
};

// What of a green thread can be interrupted; ScopedPythonThread makes one. Lives on that green thread's stack.
class Interruptible {
 public:
  // Of the current green thread, which has none yet.
  Interruptible();
  // What is still posted is withdrawn.
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

  green::GreenThread* thread() const { return thread_; }

  // Has the exception of `interrupt`, which is kIdle, raised. In any context of the scheduler's OS thread, with or
  // without the GIL. Never parks.
  void Post(Interrupt* interrupt);

  // If it is not raised yet it will not be. No effect if it is not posted. Never parks.
  void Withdraw(Interrupt* interrupt);

  // Raises the first that is posted, as the Python error of the caller. False: there is none, and no error is set. On
  // the green thread itself, GIL held: for calls of ours whose wait ended with kCancelled. Never parks.
  bool RaisePending();

  bool pending() const { return !posted_.empty(); }

  // The request that it runs (current_request.h); nullptr if it runs none.
  CurrentRequest* request() const { return request_; }
  void set_request(CurrentRequest* request) { request_ = request; }

  // How long what a C library made of ECANCELED may unwind before the exception is raised all the same.
  static constexpr int64_t kUnwindNs = 100 * kNanosecondsPerMillisecond;

 private:
  green::GreenThread* const thread_;
  CurrentRequest* request_ = nullptr;
  IntrusiveList<Interrupt> posted_;
};

}  // namespace greenring::pyhost
