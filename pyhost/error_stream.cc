#include "pyhost/error_stream.h"

#include <string>

#include "pyhost/py_text.h"

namespace greenring::pyhost {
namespace {

struct ErrorStream {
  PyObject_HEAD ErrorLog* log;  // null once closed
};

PyObject* Write(PyObject* self, PyObject* text) {
  if (!PyUnicode_Check(text)) {
    return PyErr_Format(PyExc_TypeError, "wsgi.errors.write() needs str, not %.100s", Py_TYPE(text)->tp_name);
  }
  if (ErrorLog* log = reinterpret_cast<ErrorStream*>(self)->log; log != nullptr) log->ApplicationText(ToUtf8(text));
  return PyLong_FromSsize_t(PyUnicode_GET_LENGTH(text));
}

PyObject* WriteLines(PyObject* self, PyObject* lines) {
  const PyRef iterator(PyObject_GetIter(lines));
  if (!iterator) return nullptr;
  while (PyRef line{PyIter_Next(iterator.get())}) {
    const PyRef written(Write(self, line.get()));
    if (!written) return nullptr;
  }
  if (PyErr_Occurred() != nullptr) return nullptr;
  Py_RETURN_NONE;
}

PyObject* Flush(PyObject*, PyObject*) { Py_RETURN_NONE; }

void Deallocate(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_Free(self);
  Py_DECREF(type);
}

PyMethodDef kMethods[] = {
    {"write", Write, METH_O, "Writes a str to the server's error log."},
    {"writelines", WriteLines, METH_O, "Writes each str of an iterable."},
    {"flush", Flush, METH_NOARGS, "Does nothing: nothing is held back."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot kSlots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(Deallocate)},
    {Py_tp_methods, kMethods},
    {0, nullptr},
};

PyType_Spec kSpec = {"greenring.ErrorStream", sizeof(ErrorStream), 0,
                     Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, kSlots};

}  // namespace

PyRef NewErrorStream(ErrorLog* log) {
  const PyRef type(PyType_FromSpec(&kSpec));
  auto* stream = type ? PyObject_New(ErrorStream, reinterpret_cast<PyTypeObject*>(type.get())) : nullptr;
  if (stream != nullptr) stream->log = log;
  return PyRef(reinterpret_cast<PyObject*>(stream));
}

void CloseErrorStream(PyObject* stream) { reinterpret_cast<ErrorStream*>(stream)->log = nullptr; }

}  // namespace greenring::pyhost
