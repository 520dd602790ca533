#include "pyhost/exchange_error.h"

#include <string>

#include "pyhost/interrupt.h"
#include "pyhost/py_ref.h"
#include "pyhost/python.h"

namespace greenring::pyhost {

namespace {

// What PyThreadState_SetAsyncExc has given this thread, now instead of at the next bytecode. False: nothing.
bool RaiseAsynchronous() {
  const PyRef type = PyRef::Share(PyThreadState_Get()->async_exc);
  if (!type) return false;
  PyThreadState_SetAsyncExc(PyThread_get_thread_ident(), nullptr);
  PyErr_SetNone(type.get());
  return true;
}

}  // namespace

void RaiseExchangeError(const absl::Status& status) {
  Interruptible* const self = Interruptible::Current();
  if (absl::IsCancelled(status)) {
    if (self != nullptr && self->RaisePending()) return;
    if (self == nullptr && RaiseAsynchronous()) return;
  }
  PyObject* const type = absl::IsInvalidArgument(status) ? PyExc_OSError : PyExc_ConnectionResetError;
  PyErr_SetString(type, std::string(status.message()).c_str());
}

}  // namespace greenring::pyhost
