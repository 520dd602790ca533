// Owns one reference to a Python object.
//
//   PyRef name(PyUnicode_FromString("PATH_INFO"));      // takes over the new reference; null on a Python error
//   PyDict_SetItem(environ, name.get(), value);
//   return name.release();
//
// Move-only. All but the null state needs the GIL held, the destructor too. Never parks, but a destructor may run
// Python code (tp_dealloc, __del__), which may.
#pragma once

#include <utility>

#include "pyhost/python.h"

namespace greenring::pyhost {

class PyRef {
 public:
  PyRef() = default;
  explicit PyRef(PyObject* owned) : object_(owned) {}
  PyRef(PyRef&& other) noexcept : object_(other.release()) {}
  PyRef& operator=(PyRef&& other) noexcept {
    reset(other.release());
    return *this;
  }
  ~PyRef() { Py_XDECREF(object_); }

  // A new reference to `object`, which may be null.
  static PyRef Share(PyObject* object) {
    Py_XINCREF(object);
    return PyRef(object);
  }

  PyObject* get() const { return object_; }
  explicit operator bool() const { return object_ != nullptr; }

  // Gives the reference away.
  PyObject* release() { return std::exchange(object_, nullptr); }

  void reset(PyObject* owned = nullptr) {
    PyObject* old = std::exchange(object_, owned);
    Py_XDECREF(old);
  }

 private:
  PyObject* object_ = nullptr;
};

}  // namespace greenring::pyhost
