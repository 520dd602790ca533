// The exceptions that Python code sees when it is interrupted: greenring.RequestTimeout and greenring.Cancelled. Both
// derive from BaseException, so that `except Exception` does not swallow them.
//
//   RequestTimeout.seconds     how long there was; None if the application made it
//   RequestTimeout.timeout     the greenring.timeout that expired; None: the request's own deadline
//   Cancelled.reason           "cancelled", "disconnected", "draining", or what an operator gave
//
// CPython raises a class, not an instance, in code that runs (PyThreadState_SetAsyncExc): an instance without arguments
// that it makes then is the posted Interrupt's exception.
//
// GIL held. Never parks.
#pragma once

#include "pyhost/python.h"

namespace greenring::pyhost {

class InterruptErrors {
 public:
  InterruptErrors() = delete;

  // Borrowed; made at the first call, for the process's life. Aborts when there is no memory for them.
  static PyObject* RequestTimeout();
  static PyObject* Cancelled();

  // New exception objects, for Interrupt::NewException. `timeout` is borrowed, and may be null: None. Null with a
  // Python error.
  static PyObject* NewRequestTimeout(double seconds, PyObject* timeout = nullptr);
  static PyObject* NewCancelled(const char* reason);

  // Raises what the current green thread is to be interrupted with; Cancelled if nobody has said.
  static void Raise();
};

}  // namespace greenring::pyhost
