// The exceptions that Python code sees when it is interrupted: greenring.RequestTimeout and greenring.Cancelled. Both
// derive from BaseException, so that `except Exception` does not swallow them.
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
};

}  // namespace greenring::pyhost
