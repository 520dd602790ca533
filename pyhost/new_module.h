// Makes a module that is built in, of its parts.
//
//   constexpr AddPart kParts[] = {&AddErrors, &AddChannel};
//   PyObject* NewModule() { return NewModuleOf(&kModule, kParts); }          // for PyImport_AppendInittab
//
// GIL held. Never parks.
#pragma once

#include <span>

#include "pyhost/py_ref.h"
#include "pyhost/python.h"

namespace greenring::pyhost {

// Adds what is its own to the module object. False with a Python error.
using AddPart = bool (*)(PyObject* module);

// A new reference. Null with a Python error.
inline PyObject* NewModuleOf(PyModuleDef* definition, std::span<const AddPart> parts) {
  PyRef module(PyModule_Create(definition));
  if (!module) return nullptr;
  for (const AddPart add : parts) {
    if (!add(module.get())) return nullptr;
  }
  return module.release();
}

}  // namespace greenring::pyhost
