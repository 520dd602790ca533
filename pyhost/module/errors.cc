#include "pyhost/module/errors.h"

#include "pyhost/interrupt_errors.h"
#include "pyhost/module/parts.h"
#include "pyhost/py_ref.h"

namespace greenring::pyhost {
namespace {

PyObject* channel_closed = nullptr;
PyObject* result_cancelled = nullptr;

bool AddError(PyObject* module, const char* name, const char* documentation, PyObject** type) {
  *type = PyErr_NewExceptionWithDoc(name, documentation, PyExc_Exception, nullptr);
  return *type != nullptr && PyModule_AddType(module, reinterpret_cast<PyTypeObject*>(*type)) == 0;
}

}  // namespace

void RaiseChannelClosed(PyObject* channel, const char* what) {
  const PyRef exception(PyObject_CallFunction(channel_closed, "s", what));
  if (exception && PyObject_SetAttrString(exception.get(), "channel", channel) == 0) {
    PyErr_SetObject(channel_closed, exception.get());
  }
}

void RaiseResultCancelled(PyObject* handle, PyObject* interruption) {
  const PyRef text(PyUnicode_FromFormat("%R has no result: it ended with %s", handle, Py_TYPE(interruption)->tp_name));
  const PyRef exception(text ? PyObject_CallOneArg(result_cancelled, text.get()) : nullptr);
  if (!exception) return;
  PyException_SetCause(exception.get(), Py_NewRef(interruption));
  PyErr_SetObject(result_cancelled, exception.get());
}

bool AddErrors(PyObject* module) {
  return PyModule_AddObjectRef(module, "RequestTimeout", InterruptErrors::RequestTimeout()) == 0 &&
         PyModule_AddObjectRef(module, "Cancelled", InterruptErrors::Cancelled()) == 0 &&
         AddError(module, "greenring.ChannelClosed",
                  "Nothing more can be sent to a channel, or nothing is left to receive; `channel` is the channel.",
                  &channel_closed) &&
         AddError(module, "greenring.ResultCancelled",
                  "The result of a function that was cancelled, or whose time was over: __cause__ tells which.",
                  &result_cancelled);
}

}  // namespace greenring::pyhost
