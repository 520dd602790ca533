#include "pyhost/exchange_error.h"

#include <string>

#include "pyhost/hub.h"
#include "pyhost/interrupt.h"
#include "pyhost/python.h"
#include "pyhost/python_os_thread.h"

namespace greenring::pyhost {

void RaiseExchangeError(const absl::Status& status) {
  if (absl::IsCancelled(status)) {
    if (Hub* const hub = Hub::Current(); hub != nullptr && hub->RaisePending()) return;
    if (Interruptible* const self = Interruptible::Current(); self != nullptr && self->RaisePending()) return;
    if (PythonOsThread* const self = PythonOsThread::Current(); self != nullptr && self->RaisePending()) return;
  }
  PyObject* const type = absl::IsInvalidArgument(status) ? PyExc_OSError : PyExc_ConnectionResetError;
  PyErr_SetString(type, std::string(status.message()).c_str());
}

}  // namespace greenring::pyhost
