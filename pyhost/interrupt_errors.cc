#include "pyhost/interrupt_errors.h"

#include "base/check.h"

namespace greenring::pyhost {
namespace {

PyObject* NewType(const char* name, const char* documentation) {
  PyObject* const type = PyErr_NewExceptionWithDoc(name, documentation, PyExc_BaseException, nullptr);
  GREENRING_CHECK(type != nullptr);
  return type;
}

}  // namespace

PyObject* InterruptErrors::RequestTimeout() {
  static PyObject* const type = NewType("greenring.RequestTimeout", "The time that a request or a block had is over.");
  return type;
}

PyObject* InterruptErrors::Cancelled() {
  static PyObject* const type =
      NewType("greenring.Cancelled", "This green thread was cancelled: by its handle, or because the client is gone.");
  return type;
}

}  // namespace greenring::pyhost
