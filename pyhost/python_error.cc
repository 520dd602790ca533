#include "pyhost/python_error.h"

#include <utility>

#include "pyhost/py_text.h"

namespace greenring::pyhost {

PyRef TakeException() {
#if PY_VERSION_HEX >= 0x030C0000
  return PyRef(PyErr_GetRaisedException());
#else
  PyObject* type;
  PyObject* value;
  PyObject* traceback;
  PyErr_Fetch(&type, &value, &traceback);
  if (type == nullptr) return PyRef();
  PyErr_NormalizeException(&type, &value, &traceback);
  if (traceback != nullptr) PyException_SetTraceback(value, traceback);
  Py_XDECREF(traceback);
  Py_DECREF(type);
  return PyRef(value);
#endif
}

void RestoreException(PyRef exception) {
#if PY_VERSION_HEX >= 0x030C0000
  PyErr_SetRaisedException(exception.release());
#else
  PyObject* value = exception.release();
  PyErr_Restore(Py_NewRef(reinterpret_cast<PyObject*>(Py_TYPE(value))), value, PyException_GetTraceback(value));
#endif
}

std::string DescribeException(PyObject* exception) {
  std::string description = Py_TYPE(exception)->tp_name;
  const PyRef text(PyObject_Str(exception));
  if (!text) {
    PyErr_Clear();
    return description;
  }
  const std::string message = ToUtf8(text.get());
  return message.empty() ? description : description + ": " + message;
}

std::string FormatException(PyObject* exception) {
  const PyRef module(PyImport_ImportModule("traceback"));
  PyRef lines(module ? PyObject_CallMethod(module.get(), "format_exception", "O", exception) : nullptr);
  const PyRef empty(lines ? PyUnicode_FromString("") : nullptr);
  const PyRef text(empty ? PyUnicode_Join(empty.get(), lines.get()) : nullptr);
  if (!text) {  // out of memory or recursion, or a hostile __str__
    PyErr_Clear();
    return DescribeException(exception);
  }
  std::string formatted = ToUtf8(text.get());
  while (!formatted.empty() && formatted.back() == '\n') formatted.pop_back();
  return formatted;
}

}  // namespace greenring::pyhost
