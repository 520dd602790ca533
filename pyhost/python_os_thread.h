// An OS thread of the server's own that runs Python code: what is in flight on it, and exceptions from outside.
//
//   const ScopedOsThreadState python;                // makes one (os_thread.h)
//   PythonOsThread::Current()->Post(&deadline);      // raised in that OS thread at its next bytecode
//
// What Interruptible is to a green thread. CPython's asynchronous exceptions do the work (PyThreadState_SetAsyncExc):
// a system call that blocks is not ended, and the exception comes after it. Several that are posted are raised one
// after the other, in their order.
//
// GIL held in every call.
#pragma once

#include <optional>
#include <vector>

#include "pyhost/interrupt.h"

namespace greenring::pyhost {

class PythonOsThread {
 public:
  // Of the current OS thread, which has a PyThreadState and none of these yet.
  PythonOsThread();
  // Nothing is posted any more (checked).
  ~PythonOsThread();
  PythonOsThread(const PythonOsThread&) = delete;
  PythonOsThread& operator=(const PythonOsThread&) = delete;

  // Nullptr: it is none of the server's, or a green thread's.
  static PythonOsThread* Current();

  PyThreadState* state() const { return state_; }

  // The request that it runs (current_request.h); nullptr if it runs none.
  CurrentRequest* request() const { return request_; }
  void set_request(CurrentRequest* request) { request_ = request; }

  // Has the exception of `interrupt`, which is kIdle, raised: it is of `type`, which lives for ever. From any thread.
  void Post(Interrupt* interrupt, PyObject* type);

  // It is not raised any more. No effect if it is not posted. On this OS thread.
  void Withdraw(Interrupt* interrupt);

  // Raises the first that is posted, as the Python error of the caller, on this OS thread. False: there is none, and no
  // error is set.
  bool RaisePending();

  // As Interruptible::TakeAsynchronous, of the current OS thread.
  static std::optional<PyObject*> TakeAsynchronous();

 private:
  struct Posted {
    Interrupt* interrupt;
    PyObject* type;
  };

  // Makes CPython's asynchronous exception of this thread what it should be.
  void SetAsynchronous();
  void TakeBackAsynchronous();
  PyObject* TakeFirst();

  PyThreadState* const state_;
  CurrentRequest* request_ = nullptr;
  std::vector<Posted> posted_;
  bool asynchronous_ = false;  // CPython was given an asynchronous exception, and has not made an instance yet
  bool drops_note_ = false;    // and is to be given none just now
};

}  // namespace greenring::pyhost
