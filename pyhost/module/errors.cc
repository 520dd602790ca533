#include "pyhost/interrupt_errors.h"
#include "pyhost/module/parts.h"

namespace greenring::pyhost {

bool AddErrors(PyObject* module) {
  return PyModule_AddObjectRef(module, "RequestTimeout", InterruptErrors::RequestTimeout()) == 0 &&
         PyModule_AddObjectRef(module, "Cancelled", InterruptErrors::Cancelled()) == 0;
}

}  // namespace greenring::pyhost
