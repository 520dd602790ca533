// CPython's error indicator, as objects and as text.
//
//   if (result == nullptr) log->Message(FormatException(TakeException().get()));
//
// GIL held. Formatting runs Python code of the standard library (and the exception's __str__), which may park.
#pragma once

#include <string>

#include "pyhost/py_ref.h"
#include "pyhost/python.h"

namespace greenring::pyhost {

// The exception that is set, with its traceback attached, no longer set. Null when none is.
PyRef TakeException();

// Sets `exception` as it was.
void RestoreException(PyRef exception);

// What `python` would print for an uncaught `exception`: the traceback and the causes, without a final newline.
std::string FormatException(PyObject* exception);

// One line: "ModuleNotFoundError: No module named 'flask'".
std::string DescribeException(PyObject* exception);

}  // namespace greenring::pyhost
