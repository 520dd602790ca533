// What an application says of the request that it handles.
#include <cmath>

#include "base/clock.h"
#include "pyhost/current_request.h"
#include "pyhost/interrupt.h"
#include "pyhost/module/parts.h"
#include "pyhost/py_ref.h"

namespace greenring::pyhost {
namespace {

constexpr double kSecondsMax = 1e9;  // beyond it nanoseconds would overflow; about 30 years

CurrentRequest* RequiredRequest(const char* function) {
  CurrentRequest* const request = CurrentRequest::Current();
  if (request == nullptr) {
    PyErr_Format(PyExc_RuntimeError, "greenring.%s() is for the thread that handles a request", function);
  }
  return request;
}

// None, or what an exception that the call has posted for its own green thread makes of it.
PyObject* NoneOrInterrupt() {
  Interruptible* const self = Interruptible::Current();  // nullptr: an OS thread, which is interrupted later
  if (self != nullptr && self->RaisePending()) return nullptr;
  Py_RETURN_NONE;
}

PyObject* SetRequestTimeout(PyObject*, PyObject* value) {
  int64_t timeout_ns = kNeverNs;
  if (value != Py_None) {
    const double seconds = PyFloat_AsDouble(value);
    if (seconds == -1.0 && PyErr_Occurred() != nullptr) return nullptr;
    if (!(seconds > 0)) {
      return PyErr_Format(PyExc_ValueError, "a timeout must be positive, or None for no timeout, not %R", value);
    }
    if (seconds < kSecondsMax) timeout_ns = static_cast<int64_t>(seconds * kNanosecondsPerSecond);
  }
  CurrentRequest* const request = RequiredRequest("set_request_timeout");
  if (request == nullptr) return nullptr;
  request->SetTimeout(timeout_ns);
  return NoneOrInterrupt();
}

PyObject* SetCancelOnDisconnect(PyObject*, PyObject* value) {
  const int cancel = PyObject_IsTrue(value);
  if (cancel < 0) return nullptr;
  CurrentRequest* const request = RequiredRequest("set_cancel_on_disconnect");
  if (request == nullptr) return nullptr;
  request->SetCancelOnDisconnect(cancel != 0);
  return NoneOrInterrupt();
}

PyObject* InRequest(PyObject*, PyObject*) { return PyBool_FromLong(CurrentRequest::Current() != nullptr); }

PyMethodDef kMethods[] = {
    {"set_request_timeout", &SetRequestTimeout, METH_O,
     "set_request_timeout(seconds)\n--\n\n"
     "The request that this thread handles times out so long after it began; None: not at all."},
    {"set_cancel_on_disconnect", &SetCancelOnDisconnect, METH_O,
     "set_cancel_on_disconnect(cancel)\n--\n\n"
     "Whether greenring.Cancelled is raised in the request that this thread handles when its client is gone."},
    {"in_request", &InRequest, METH_NOARGS,
     "in_request()\n--\n\nWhether this thread handles a request, so that the two above can be called."},
    {nullptr, nullptr, 0, nullptr},
};

// The decorators do what an application could do by itself.
constexpr const char kDecorators[] = R"(
import functools as _functools

def request_timeout(seconds):
    """The requests that the decorated view handles time out `seconds` after they began; None: not at all."""
    def decorate(view):
        @_functools.wraps(view)
        def timed(*args, **kwargs):
            if in_request():
                set_request_timeout(seconds)
            return view(*args, **kwargs)
        return timed
    return decorate

def cancel_on_disconnect(view):
    """greenring.Cancelled is raised in the decorated view when its client is gone."""
    @_functools.wraps(view)
    def cancellable(*args, **kwargs):
        if in_request():
            set_cancel_on_disconnect(True)
        return view(*args, **kwargs)
    return cancellable
)";

}  // namespace

bool AddRequest(PyObject* module) {
  if (PyModule_AddFunctions(module, kMethods) < 0) return false;
  PyObject* const names = PyModule_GetDict(module);
  if (PyDict_SetItemString(names, "__builtins__", PyEval_GetBuiltins()) < 0) return false;
  return static_cast<bool>(PyRef(PyRun_String(kDecorators, Py_file_input, names, names)));
}

}  // namespace greenring::pyhost
