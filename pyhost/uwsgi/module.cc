#include "pyhost/uwsgi/module.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "pyhost/new_module.h"
#include "pyhost/py_ref.h"
#include "pyhost/python.h"
#include "pyhost/python_error.h"
#include "pyhost/uwsgi/extension.h"
#include "pyhost/uwsgi/handler_job.h"
#include "pyhost/uwsgi/parts.h"

namespace greenring::pyhost {
namespace {

constexpr AddPart kParts[] = {
    &AddAttributes, &AddWaits,   &AddSockets, &AddChunks, &AddRequestCalls,
    &AddProcess,    &AddSignals, &AddLocks,   &AddAbsent,
};

PyModuleDef kModule = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "uwsgi",
    .m_doc = "The interface of uWSGI's async modes, for programs that were written for it.",
    .m_size = -1,
    .m_methods = nullptr,
    .m_slots = nullptr,
    .m_traverse = nullptr,
    .m_clear = nullptr,
    .m_free = nullptr,
};

// For the process's life.
constinit UwsgiHost* host = nullptr;
const UwsgiOptions* options = nullptr;
constinit PyObject* the_module = nullptr;
constinit bool ready = false;

PyObject* NewModule() {
  PyObject* const module = NewModuleOf(&kModule, kParts);
  the_module = Py_XNewRef(module);
  return module;
}

// The process goes on whatever its hooks do.
void CallAndLog(const char* name) {
  const PyRef key(PyUnicode_InternFromString(name));
  if (key && CallHook(key.get())) return;
  const PyRef exception = TakeException();
  Host()->Log(absl::StrCat("uwsgi.", name, " failed\n", FormatException(exception.get())));
}

}  // namespace

UwsgiHost* Host() { return host; }
const UwsgiOptions& Options() { return *options; }
bool IsReady() { return ready; }
PyObject* ModuleObject() { return the_module; }

bool CallHook(PyObject* name) {
  if (the_module == nullptr) return true;
  const PyRef hook = PyRef::Share(PyDict_GetItemWithError(PyModule_GetDict(the_module), name));
  if (!hook || hook.get() == Py_None) return PyErr_Occurred() == nullptr;
  return static_cast<bool>(PyRef(PyObject_CallNoArgs(hook.get())));
}

void RegisterUwsgiModule(UwsgiHost* of_process, UwsgiOptions of_module) {
  GREENRING_CHECK(host == nullptr);
  host = of_process;
  options = new UwsgiOptions(std::move(of_module));
  GREENRING_CHECK(PyImport_AppendInittab("uwsgi", &NewModule) == 0);
  GREENRING_CHECK(PyImport_AppendInittab("uwsgidecorators", &NewDecorators) == 0);
}

RequestExtension* UwsgiModule::extension() { return host != nullptr ? UwsgiExtension() : nullptr; }

UwsgiSignalSink* UwsgiModule::signal_sink() { return host != nullptr ? SignalSink() : nullptr; }
void UwsgiModule::SetSpawner(Spawner spawner) { SetHandlerSpawner(std::move(spawner)); }

bool UwsgiModule::SpawnInGreenThread(PyObject* function) { return StartInGreenThread(function); }

void UwsgiModule::AfterImport() {
  if (host == nullptr) return;
  CallAndLog("post_fork_hook");
  ready = true;
}

void UwsgiModule::AtExit() {
  if (host != nullptr) CallAndLog("atexit");
}

}  // namespace greenring::pyhost
