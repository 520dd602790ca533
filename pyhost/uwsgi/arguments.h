// Arguments of the module's functions, by uWSGI's rules where it has them: 0 and less is no timeout. GIL held. Never
// parks.
#pragma once

#include <climits>
#include <cmath>
#include <cstdint>

#include "base/clock.h"
#include "pyhost/python.h"

namespace greenring::pyhost {

// Seconds, with fractions. kNeverNs for 0 and less, and for more than there are nanoseconds. False with a TypeError or
// ValueError.
inline bool ParseSeconds(PyObject* seconds, int64_t* timeout_ns) {
  *timeout_ns = kNeverNs;
  const double value = PyFloat_AsDouble(seconds);
  if (value == -1.0 && PyErr_Occurred() != nullptr) return false;
  if (std::isnan(value)) {
    PyErr_SetString(PyExc_ValueError, "a timeout is a number of seconds, not nan");
    return false;
  }
  if (value <= 0) return true;
  const double value_ns = std::ceil(value * kNanosecondsPerSecond);  // never shorter than asked for
  if (value_ns < static_cast<double>(kNeverNs)) *timeout_ns = static_cast<int64_t>(value_ns);
  return true;
}

// False with a TypeError or OverflowError.
inline bool ParseInt(PyObject* object, int* value) {
  const long parsed = PyLong_AsLong(object);
  if (parsed == -1 && PyErr_Occurred() != nullptr) return false;
  if (parsed < INT_MIN || parsed > INT_MAX) {
    PyErr_Format(PyExc_OverflowError, "%R is too large", object);
    return false;
  }
  *value = static_cast<int>(parsed);
  return true;
}

}  // namespace greenring::pyhost
