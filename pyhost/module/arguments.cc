#include "pyhost/module/arguments.h"

#include <cmath>

#include "base/clock.h"

namespace greenring::pyhost {
namespace {

bool ParseKeyword(const char* function, PyObject* name, PyObject* value, std::initializer_list<const char*> names,
                  PyObject** values, size_t positional) {
  for (size_t i = 0; i < names.size(); ++i) {
    if (PyUnicode_CompareWithASCIIString(name, names.begin()[i]) != 0) continue;
    if (i < positional) {
      PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%U'", function, name);
      return false;
    }
    values[i] = value;
    return true;
  }
  PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", function, name);
  return false;
}

}  // namespace

bool ParseArguments(const char* function, const Arguments& arguments, std::initializer_list<const char*> names,
                    size_t required, PyObject** values) {
  const auto positional = static_cast<size_t>(arguments.count);
  if (positional > names.size()) {
    PyErr_Format(PyExc_TypeError, "%s() takes at most %zu arguments (%zu given)", function, names.size(), positional);
    return false;
  }
  for (size_t i = 0; i < positional; ++i) values[i] = arguments.values[i];
  const Py_ssize_t keywords = arguments.names != nullptr ? PyTuple_GET_SIZE(arguments.names) : 0;
  for (Py_ssize_t i = 0; i < keywords; ++i) {
    PyObject* const value = arguments.values[arguments.count + i];
    if (!ParseKeyword(function, PyTuple_GET_ITEM(arguments.names, i), value, names, values, positional)) return false;
  }
  for (size_t i = 0; i < required; ++i) {
    if (values[i] != nullptr) continue;
    PyErr_Format(PyExc_TypeError, "%s() needs the argument '%s'", function, names.begin()[i]);
    return false;
  }
  return true;
}

bool ParseTimeout(PyObject* seconds, int64_t* timeout_ns) {
  *timeout_ns = kNeverNs;
  if (seconds == nullptr || seconds == Py_None) return true;
  const double value = PyFloat_AsDouble(seconds);
  if (value == -1.0 && PyErr_Occurred()) return false;
  if (std::isnan(value) || value < 0) {
    PyErr_Format(PyExc_ValueError, "a timeout is a number of seconds, 0 or more, or None to wait for ever; not %R",
                 seconds);
    return false;
  }
  const double value_ns = std::ceil(value * kNanosecondsPerSecond);  // never shorter than asked for
  if (value_ns < static_cast<double>(kNeverNs)) *timeout_ns = static_cast<int64_t>(value_ns);
  return true;
}

bool ParseOnlyTimeout(const char* function, const Arguments& arguments, int64_t* timeout_ns) {
  PyObject* seconds = nullptr;
  return ParseArguments(function, arguments, {"timeout"}, 0, &seconds) && ParseTimeout(seconds, timeout_ns);
}

bool AddType(PyObject* module, PyType_Spec* spec, PyTypeObject** type) {
  *type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(spec));
  return *type != nullptr && PyModule_AddType(module, *type) == 0;
}

}  // namespace greenring::pyhost
