// The parts of the module `uwsgi`, each in the file of its name: what it adds to the module object. False with a Python
// error. GIL held, at the first import.
#pragma once

#include "pyhost/python.h"
#include "pyhost/uwsgi/module.h"

namespace greenring::pyhost {

bool AddAbsent(PyObject* module);
bool AddAttributes(PyObject* module);
bool AddChunks(PyObject* module);
bool AddLocks(PyObject* module);
bool AddProcess(PyObject* module);
bool AddRequestCalls(PyObject* module);
bool AddSignals(PyObject* module);
bool AddSockets(PyObject* module);
bool AddWaits(PyObject* module);

// Of RegisterUwsgiModule; the host is there in every call of a part.
UwsgiHost* Host();
const UwsgiOptions& Options();

// AfterImport has been called: the application is there.
bool IsReady();

// The module object; nullptr: nobody has imported it.
PyObject* ModuleObject();

// Calls the attribute `name`, a str, of the module, if it is there and not None. False with a Python error.
bool CallHook(PyObject* name);

// Makes the module `uwsgidecorators`.
PyObject* NewDecorators();

// ---- signals.cc; see UwsgiModule ----

UwsgiSignalSink* SignalSink();
void SetHandlerSpawner(UwsgiModule::Spawner spawner);

}  // namespace greenring::pyhost
