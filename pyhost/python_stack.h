// What the Python code of a green thread is in the middle of, as text: for dumps and logs.
//
//   File "shop.py", line 12, in checkout
//   File "db.py", line 40, in query
//
// GIL held; nothing is run but CPython's own code, so it never parks.
#pragma once

#include <cstdint>
#include <string>

#include "green/green_thread.h"
#include "pyhost/python.h"

namespace greenring::pyhost {

// The thread state of `thread`; nullptr if it has none. It is found by its thread identifier (pthread_self's answer),
// so this serves every green thread that runs Python code, however it was started.
PyThreadState* FindThreadState(const green::GreenThread& thread);

// The same for its handle(): for other OS threads, which must not look at the green thread.
PyThreadState* FindThreadState(uintptr_t handle);

// The outermost call first, a line each, indented by `indent` spaces; at most the innermost `frames_max`. Empty without
// Python code.
std::string FormatPythonStack(PyThreadState* state, int indent = 2, int frames_max = 100);

// The same from `frame` outwards: of a greenlet that is switched out.
std::string FormatPythonStack(PyFrameObject* frame, int indent = 2, int frames_max = 100);

}  // namespace greenring::pyhost
