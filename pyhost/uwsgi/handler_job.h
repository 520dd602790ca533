// A function that takes nothing and never raises, in a green thread of its own.
#pragma once

#include "pyhost/python.h"

namespace greenring::pyhost {

// False with a Python error: the worker ends, or there is no memory for a stack. Any OS thread, GIL held. Never parks.
bool StartInGreenThread(PyObject* function);

}  // namespace greenring::pyhost
