// greenring.WaitGroup: waits until a number of things have ended. GIL held.
#pragma once

#include "pyhost/python.h"

namespace greenring::pyhost {

// One of `group`'s has ended. Never parks.
void WaitGroupDone(PyObject* group);

}  // namespace greenring::pyhost
