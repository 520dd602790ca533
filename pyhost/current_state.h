// CPython's current thread state, of whichever version: asked without a check that there is one.
#pragma once

#include "pyhost/python.h"

namespace greenring::pyhost {

// That of who holds the GIL, nullptr if nobody does. On the scheduler's thread: never one of ours while another OS
// thread holds it. Async-signal-safe.
inline PyThreadState* CurrentState() {
#if PY_VERSION_HEX >= 0x030D0000
  return PyThreadState_GetUnchecked();
#else
  return _PyThreadState_UncheckedGet();
#endif
}

}  // namespace greenring::pyhost
