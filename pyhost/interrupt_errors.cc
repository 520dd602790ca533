#include "pyhost/interrupt_errors.h"

#include <cstdio>
#include <optional>

#include "base/check.h"
#include "pyhost/interrupt.h"
#include "pyhost/py_ref.h"
#include "pyhost/python_os_thread.h"

namespace greenring::pyhost {
namespace {

bool HasNoArguments(PyObject* arguments, PyObject* keywords) {
  return PyTuple_GET_SIZE(arguments) == 0 && (keywords == nullptr || PyDict_GET_SIZE(keywords) == 0);
}

PyObject* New(PyTypeObject* type, PyObject* arguments, PyObject* keywords) {
  if (HasNoArguments(arguments, keywords)) {
    if (const std::optional<PyObject*> posted = Interruptible::TakeAsynchronous()) return *posted;
    if (const std::optional<PyObject*> posted = PythonOsThread::TakeAsynchronous()) return *posted;
  }
  return reinterpret_cast<PyTypeObject*>(PyExc_BaseException)->tp_new(type, arguments, keywords);
}

// BaseException's would make the arguments of a posted one those that it was called with: none.
int Initialize(PyObject* self, PyObject* arguments, PyObject* keywords) {
  if (HasNoArguments(arguments, keywords)) return 0;
  return reinterpret_cast<PyTypeObject*>(PyExc_BaseException)->tp_init(self, arguments, keywords);
}

PyObject* NewType(const char* name, const char* documentation) {
  PyType_Slot slots[] = {
      {Py_tp_doc, const_cast<char*>(documentation)},
      {Py_tp_new, reinterpret_cast<void*>(&New)},
      {Py_tp_init, reinterpret_cast<void*>(&Initialize)},
      {0, nullptr},
  };
  PyType_Spec spec = {name, 0, 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
  const PyRef bases(PyTuple_Pack(1, PyExc_BaseException));
  PyObject* const type = PyType_FromSpecWithBases(&spec, bases.get());
  GREENRING_CHECK(type != nullptr);
  return type;
}

void SetDefault(PyObject* type, const char* attribute, PyObject* value) {
  GREENRING_CHECK(PyObject_SetAttrString(type, attribute, value) == 0);
}

PyObject* NewRequestTimeoutType() {
  PyObject* const type = NewType("greenring.RequestTimeout", "The time that a request or a block had is over.");
  SetDefault(type, "seconds", Py_None);
  SetDefault(type, "timeout", Py_None);
  return type;
}

PyObject* NewCancelledType() {
  PyObject* const type =
      NewType("greenring.Cancelled", "This green thread was cancelled: by its handle, or because the client is gone.");
  const PyRef reason(PyUnicode_FromString("cancelled"));
  SetDefault(type, "reason", reason.get());
  return type;
}

// `value` is taken over; null: a Python error.
bool SetAttribute(PyObject* exception, const char* name, PyObject* value) {
  const PyRef owned(value);
  return owned && PyObject_SetAttrString(exception, name, owned.get()) == 0;
}

}  // namespace

PyObject* InterruptErrors::RequestTimeout() {
  static PyObject* const type = NewRequestTimeoutType();
  return type;
}

PyObject* InterruptErrors::Cancelled() {
  static PyObject* const type = NewCancelledType();
  return type;
}

PyObject* InterruptErrors::NewRequestTimeout(double seconds, PyObject* timeout) {
  char message[64];
  std::snprintf(message, sizeof(message), "it took more than %g s", seconds);
  PyRef exception(PyObject_CallFunction(RequestTimeout(), "s", message));
  if (!exception || !SetAttribute(exception.get(), "seconds", PyFloat_FromDouble(seconds))) return nullptr;
  if (timeout != nullptr && PyObject_SetAttrString(exception.get(), "timeout", timeout) != 0) return nullptr;
  return exception.release();
}

PyObject* InterruptErrors::NewCancelled(const char* reason) {
  PyRef exception(PyObject_CallFunction(Cancelled(), "s", reason));
  if (!exception || !SetAttribute(exception.get(), "reason", PyUnicode_FromString(reason))) return nullptr;
  return exception.release();
}

void InterruptErrors::Raise() {
  Interruptible* const interruptible = Interruptible::Current();
  if (interruptible != nullptr && interruptible->RaisePending()) return;
  PyErr_SetString(Cancelled(), "the wait was cancelled");
}

}  // namespace greenring::pyhost
