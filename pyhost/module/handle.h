// greenring.go and greenring.Handle: a function that runs on a green thread of its own, and what became of it.
//
// GIL held.
#pragma once

#include "pyhost/module/arguments.h"
#include "pyhost/python.h"

namespace greenring::pyhost {

// Starts the first of `arguments` with the others and returns its Handle; null with a Python error. `group`, a
// WaitGroup or null, is told when it has ended. `function` is for error messages. Never parks.
PyObject* StartFunction(const char* function, const Arguments& arguments, PyObject* group);

}  // namespace greenring::pyhost
