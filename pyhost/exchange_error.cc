#include "pyhost/exchange_error.h"

#include <string>

#include "pyhost/interrupt.h"
#include "pyhost/python.h"

namespace greenring::pyhost {

void RaiseExchangeError(const absl::Status& status) {
  Interruptible* const self = Interruptible::Current();
  if (absl::IsCancelled(status) && self != nullptr && self->RaisePending()) return;
  PyObject* const type = absl::IsInvalidArgument(status) ? PyExc_OSError : PyExc_ConnectionResetError;
  PyErr_SetString(type, std::string(status.message()).c_str());
}

}  // namespace greenring::pyhost
