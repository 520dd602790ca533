// The attributes of the module: uwsgi.opt, version, numproc and the like. What applications may assign is theirs:
// applications, post_fork_hook, atexit, after_req_hook.
#include <limits.h>
#include <time.h>
#include <unistd.h>

#include <string>

#include "pyhost/py_ref.h"
#include "pyhost/uwsgi/parts.h"

namespace greenring::pyhost {
namespace {

// The interface that this one follows; libraries compare it.
constexpr char kVersion[] = "2.0.30";

PyRef Bytes(const std::string& text) {
  return PyRef(PyBytes_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size())));
}

bool SetIn(PyObject* dictionary, const char* key, PyRef value) {
  return value && PyDict_SetItemString(dictionary, key, value.get()) == 0;
}

bool Add(PyObject* module, const char* name, PyRef value) {
  return value && PyModule_AddObjectRef(module, name, value.get()) == 0;
}

// What libraries look for in a uWSGI of this shape: threads work, and each worker imports the application for itself.
// What the operator says goes before it.
PyRef NewOptions() {
  PyRef options(PyDict_New());
  if (!options || !SetIn(options.get(), "enable-threads", PyRef::Share(Py_True)) ||
      !SetIn(options.get(), "lazy-apps", PyRef::Share(Py_True)) ||
      !SetIn(options.get(), "processes", Bytes(std::to_string(Host()->worker_count()))) ||
      !SetIn(options.get(), "async", Bytes(std::to_string(Host()->core_count()))) ||
      (Host()->master_pid() != 0 && !SetIn(options.get(), "master", PyRef::Share(Py_True)))) {
    return PyRef();
  }
  for (const auto& [name, value] : Options().options) {
    const bool is_flag = value.empty() || value == "true";
    if (!SetIn(options.get(), name.c_str(), is_flag ? PyRef::Share(Py_True) : Bytes(value))) return PyRef();
  }
  return options;
}

PyRef NewSockets() {
  PyRef sockets(PyList_New(0));
  for (const int fd : Options().sockets) {
    const PyRef number(PyLong_FromLong(fd));
    if (!sockets || !number || PyList_Append(sockets.get(), number.get()) < 0) return PyRef();
  }
  return sockets;
}

std::string Hostname() {
  char name[HOST_NAME_MAX + 1] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

// uWSGI's "magic" variables, as far as they mean something here.
PyRef NewMagicTable() {
  PyRef table(PyDict_New());
  if (!table) return table;
  for (const auto& [letter, value] : {std::pair<const char*, std::string>("V", kVersion), {"h", Hostname()}}) {
    const PyRef key = Bytes(letter);
    const PyRef text = Bytes(value);
    if (!key || !text || PyDict_SetItem(table.get(), key.get(), text.get()) < 0) return PyRef();
  }
  return table;
}

// Only where the operator has said so, as in uWSGI.
bool AddIfGiven(PyObject* module, const char* name) {
  const auto found = Options().options.find(name);
  return found == Options().options.end() || Add(module, name, Bytes(found->second));
}

}  // namespace

bool AddAttributes(PyObject* module) {
  return Add(module, "opt", NewOptions()) && Add(module, "version", Bytes(kVersion)) &&
         Add(module, "version_info", PyRef(Py_BuildValue("(iiiiy)", 2, 0, 30, 0, "greenring"))) &&
         Add(module, "hostname", Bytes(Hostname())) &&
         Add(module, "numproc", PyRef(PyLong_FromLong(Host()->worker_count()))) &&
         Add(module, "cores", PyRef(PyLong_FromLong(Host()->core_count()))) &&
         Add(module, "loop", Options().loop.empty() ? PyRef::Share(Py_None) : Bytes(Options().loop)) &&
         Add(module, "has_threads", PyRef(PyLong_FromLong(1))) && Add(module, "sockets", NewSockets()) &&
         Add(module, "started_on", PyRef(PyLong_FromLongLong(time(nullptr)))) &&
         Add(module, "buffer_size", PyRef(PyLong_FromLongLong(Options().buffer_size_bytes))) &&
         Add(module, "magic_table", NewMagicTable()) && Add(module, "is_a_reload", PyRef::Share(Py_False)) &&
         Add(module, "applications", PyRef::Share(Py_None)) && Add(module, "unbit", PyRef::Share(Py_None)) &&
         Add(module, "SPOOL_OK", PyRef(PyLong_FromLong(-2))) &&
         Add(module, "SPOOL_RETRY", PyRef(PyLong_FromLong(-1))) &&
         Add(module, "SPOOL_IGNORE", PyRef(PyLong_FromLong(0))) && AddIfGiven(module, "mode") &&
         AddIfGiven(module, "pidfile");
}

}  // namespace greenring::pyhost
