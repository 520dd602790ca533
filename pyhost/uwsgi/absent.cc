// What uWSGI has and this server has not. To look such a name up raises UnavailableCall, which is NotImplementedError
// and AttributeError at once: a call fails with a message that says what to use instead, and hasattr(), by which
// libraries ask what they can use (python-engineio for websocket_handshake, caches for cache_get), is False.
//
// uwsgi.env is here as well: it is the current request's environ whenever it is looked up.
#include <algorithm>
#include <string_view>

#include "pyhost/current_core.h"
#include "pyhost/current_request.h"
#include "pyhost/py_ref.h"
#include "pyhost/py_text.h"
#include "pyhost/uwsgi/parts.h"

namespace greenring::pyhost {
namespace {

constexpr char kCache[] = "keep it in Redis or memcached, whose clients park only the request that asks";
constexpr char kSpooler[] = "use greenring.go() for work after the response, or a queue with workers of its own";
constexpr char kMules[] = "use greenring.go(), or a pool of its own for background work";
constexpr char kRpc[] = "use HTTP between pools, or a message broker";
constexpr char kShared[] = "use multiprocessing.shared_memory, or Redis";
constexpr char kMetrics[] =
    "the control API and /metrics have the server's figures; use prometheus_client for your own";
constexpr char kLegion[] = "use the lock of a service that all machines reach, such as etcd or PostgreSQL";
constexpr char kWebsockets[] =
    "python-engineio falls back to long polling by itself; other applications need a server for them beside this one";
constexpr char kRouting[] = "route in the pools' configuration, or in the application";
constexpr char kSendfile[] = "return environ['wsgi.file_wrapper'](file)";
constexpr char kFiles[] = "open files by their own libraries";
constexpr char kStatus[] = "the control API has it (greenctl)";

struct Absent {
  std::string_view name;  // with '*' at its end: all that begin so
  const char* instead;
};

constexpr Absent kAbsent[] = {
    {"cache_*", kCache},
    {"queue_*", kShared},
    {"sharedarea_*", kShared},
    {"metric_*", kMetrics},
    {"snmp_*", kMetrics},
    {"websocket_*", kWebsockets},
    {"spool", kSpooler},
    {"send_to_spooler", kSpooler},
    {"set_spooler_frequency", kSpooler},
    {"spooler_*", kSpooler},
    {"mule_*", kMules},
    {"farm_*", kMules},
    {"in_farm", kMules},
    {"install_mule_msg_hook", kMules},
    {"register_rpc", kRpc},
    {"rpc", kRpc},
    {"rpc_list", kRpc},
    {"call", kRpc},
    {"i_am_the_lord", kLegion},
    {"lord_scroll", kLegion},
    {"scrolls", kLegion},
    {"route", kRouting},
    {"sendfile", kSendfile},
    {"offload", kSendfile},
    {"parsefile", kFiles},
    {"extract", kFiles},
    {"embedded_data", kFiles},
    {"set_warning_message", kStatus},
    {"logsize", kStatus},
};

const Absent* Find(std::string_view name) {
  const auto* const found = std::find_if(std::begin(kAbsent), std::end(kAbsent), [name](const Absent& absent) {
    if (!absent.name.ends_with('*')) return absent.name == name;
    return name.starts_with(absent.name.substr(0, absent.name.size() - 1));
  });
  return found != std::end(kAbsent) ? found : nullptr;
}

PyObject* unavailable_call = nullptr;

PyObject* CurrentEnviron() {
  CurrentCore* const core = CurrentCore::Get();
  PyObject* const environ = core != nullptr ? core->request()->parts().environ : nullptr;
  if (environ != nullptr) return Py_NewRef(environ);
  PyErr_SetString(PyExc_AttributeError,
                  "uwsgi.env is there in code that handles a request, on the thread that does so");
  return nullptr;
}

// Called by CPython for what the module does not have.
PyObject* GetAbsent(PyObject*, PyObject* name) {
  std::string_view text;
  if (!Latin1View(name, &text)) return PyErr_Format(PyExc_AttributeError, "module 'uwsgi' has no attribute %R", name);
  if (text == "env") return CurrentEnviron();
  if (const Absent* const absent = Find(text)) {
    return PyErr_Format(unavailable_call, "uwsgi.%U is not there; %s", name, absent->instead);
  }
  return PyErr_Format(PyExc_AttributeError, "module 'uwsgi' has no attribute '%U'", name);
}

PyMethodDef kFunctions[] = {
    {"__getattr__", GetAbsent, METH_O, "What the module does not have, and why."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool AddAbsent(PyObject* module) {
  const PyRef bases(PyTuple_Pack(2, PyExc_NotImplementedError, PyExc_AttributeError));
  if (!bases) return false;
  unavailable_call = PyErr_NewExceptionWithDoc(
      "uwsgi.UnavailableCall", "uWSGI has it, and this server has not: its text says what to use instead.", bases.get(),
      nullptr);
  return unavailable_call != nullptr && PyModule_AddObjectRef(module, "UnavailableCall", unavailable_call) == 0 &&
         PyModule_AddFunctions(module, kFunctions) == 0;
}

}  // namespace greenring::pyhost
