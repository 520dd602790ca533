// Text between C++ and CPython: str objects as bytes, bytes as str objects.
//
//   std::string_view name;
//   if (!Latin1View(object, &name)) return TypeError;      // views the object's own memory
//   PyRef text = FromLatin1("caf\xe9");
//
// GIL held. Never parks.
#pragma once

#include <string>
#include <string_view>

#include "pyhost/py_ref.h"
#include "pyhost/python.h"

namespace greenring::pyhost {

// The characters of a str whose code points are all below 256, one byte each, in the object's own memory: WSGI's
// "native strings". False for other strings and other objects; sets no Python error.
inline bool Latin1View(PyObject* object, std::string_view* view) {
  if (!PyUnicode_Check(object)) return false;
#if PY_VERSION_HEX < 0x030C0000
  if (PyUnicode_READY(object) < 0) {
    PyErr_Clear();
    return false;
  }
#endif
  if (PyUnicode_KIND(object) != PyUnicode_1BYTE_KIND) return false;
  *view = {reinterpret_cast<const char*>(PyUnicode_1BYTE_DATA(object)),
           static_cast<size_t>(PyUnicode_GET_LENGTH(object))};
  return true;
}

// A str with one character for each byte. Null with MemoryError.
inline PyRef FromLatin1(std::string_view bytes) {
  return PyRef(PyUnicode_DecodeLatin1(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), nullptr));
}

// The text of a str for logs: UTF-8, with what UTF-8 cannot say (lone surrogates) as backslash escapes.
inline std::string ToUtf8(PyObject* text) {
  const PyRef bytes(PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace"));
  if (!bytes) {
    PyErr_Clear();
    return {};
  }
  return std::string(PyBytes_AS_STRING(bytes.get()), static_cast<size_t>(PyBytes_GET_SIZE(bytes.get())));
}

}  // namespace greenring::pyhost
