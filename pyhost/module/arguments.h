// Arguments of the module's functions, and its types. GIL held. Never parks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "pyhost/python.h"

namespace greenring::pyhost {

// How CPython hands arguments over (METH_FASTCALL | METH_KEYWORDS).
struct Arguments {
  PyObject* const* values;  // the positional ones, then the keywords'
  Py_ssize_t count;         // of the positional ones
  PyObject* names;          // a tuple of the keywords; may be null
};

// Puts borrowed arguments into `values`, in the order of `names`; what was not given stays as it is. The first
// `required` must be given. False with a TypeError that names `function`.
bool ParseArguments(const char* function, const Arguments& arguments, std::initializer_list<const char*> names,
                    size_t required, PyObject** values);

// Seconds, or None (or nullptr) for kNeverNs; 0: do not wait. False with a TypeError or ValueError.
bool ParseTimeout(PyObject* seconds, int64_t* timeout_ns);

// For functions whose only argument is an optional timeout.
bool ParseOnlyTimeout(const char* function, const Arguments& arguments, int64_t* timeout_ns);

// Makes the type, keeps it in `type` for the process's life and adds it to the module under its name.
bool AddType(PyObject* module, PyType_Spec* spec, PyTypeObject** type);

// A method table's entry for `PyObject* F(PyObject* self, const Arguments& arguments)`.
template <PyObject* (*F)(PyObject*, const Arguments&)>
PyMethodDef Method(const char* name, const char* documentation) {
  PyObject* (*const call)(PyObject*, PyObject* const*, Py_ssize_t,
                          PyObject*) = [](PyObject* self, PyObject* const* values, Py_ssize_t count, PyObject* names) {
    return F(self, {values, count, names});
  };
  return {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(call)), METH_FASTCALL | METH_KEYWORDS,
          documentation};
}

}  // namespace greenring::pyhost
