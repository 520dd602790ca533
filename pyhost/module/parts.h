// The parts of the module, each in the file of its name: what it adds to the module object. False with a Python error.
// GIL held, at the first import.
#pragma once

#include "pyhost/python.h"

namespace greenring::pyhost {

bool AddAudit(PyObject* module);
bool AddErrors(PyObject* module);
bool AddTimeout(PyObject* module);
bool AddGo(PyObject* module);
bool AddChannel(PyObject* module);
bool AddSelect(PyObject* module);
bool AddWaitGroup(PyObject* module);
bool AddScheduling(PyObject* module);
bool AddRequest(PyObject* module);
bool AddDump(PyObject* module);
bool AddStack(PyObject* module);

}  // namespace greenring::pyhost
