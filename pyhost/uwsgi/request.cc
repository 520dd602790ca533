// What the module tells of the current request, and what an application says of it: cl, request_id, logvars, add_var,
// log_this_request, set_user_harakiri.
#include <algorithm>
#include <optional>
#include <string>

#include "base/clock.h"
#include "pyhost/current_core.h"
#include "pyhost/current_request.h"
#include "pyhost/exchange.h"
#include "pyhost/interrupt.h"
#include "pyhost/module/arguments.h"
#include "pyhost/py_ref.h"
#include "pyhost/py_text.h"
#include "pyhost/uwsgi/arguments.h"
#include "pyhost/uwsgi/parts.h"
#include "pyhost/uwsgi/request_state.h"

namespace greenring::pyhost {
namespace {

// Nullptr with an OSError that names `function`.
CurrentCore* CoreOrRaise(const char* function) {
  return UwsgiRequest::OfOrRaise(function) != nullptr ? CurrentCore::Get() : nullptr;
}

// The bytes of a str (UTF-8, as in uWSGI) or of a bytes-like object. False with a TypeError.
bool ParseText(PyObject* object, std::string* text) {
  if (PyUnicode_Check(object)) {
    Py_ssize_t size;
    const char* const data = PyUnicode_AsUTF8AndSize(object, &size);
    if (data != nullptr) text->assign(data, static_cast<size_t>(size));
    return data != nullptr;
  }
  Py_buffer view;
  if (PyObject_GetBuffer(object, &view, PyBUF_SIMPLE) < 0) return false;
  text->assign(static_cast<const char*>(view.buf), static_cast<size_t>(view.len));
  PyBuffer_Release(&view);
  return true;
}

bool ParsePair(const char* function, PyObject* const* arguments, Py_ssize_t count, std::string* key,
               std::string* value) {
  if (count == 2) return ParseText(arguments[0], key) && ParseText(arguments[1], value);
  PyErr_Format(PyExc_TypeError, "%s() takes (key, value), not %zd arguments", function, count);
  return false;
}

PyObject* ContentLength(PyObject*, PyObject*) {
  CurrentCore* const core = CoreOrRaise("cl");
  if (core == nullptr) return nullptr;
  return PyLong_FromLongLong(std::max<int64_t>(core->exchange()->content_length(), 0));
}

PyObject* RequestId(PyObject*, PyObject*) {
  CurrentCore* const core = CoreOrRaise("request_id");
  return core != nullptr ? PyLong_FromUnsignedLongLong(core->exchange()->number()) : nullptr;
}

PyObject* SetLogvar(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
  std::string key, value;
  if (!ParsePair("set_logvar", arguments, count, &key, &value)) return nullptr;
  CurrentCore* const core = CoreOrRaise("set_logvar");
  if (core == nullptr) return nullptr;
  core->exchange()->SetLogVariable(key, value);
  Py_RETURN_NONE;
}

PyObject* GetLogvar(PyObject*, PyObject* name) {
  std::string key;
  if (!ParseText(name, &key)) return nullptr;
  CurrentCore* const core = CoreOrRaise("get_logvar");
  if (core == nullptr) return nullptr;
  const std::optional<std::string> value = core->exchange()->LogVariable(key);
  if (!value.has_value()) Py_RETURN_NONE;
  return PyBytes_FromStringAndSize(value->data(), static_cast<Py_ssize_t>(value->size()));
}

PyObject* AddVar(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
  std::string key, value;
  if (!ParsePair("add_var", arguments, count, &key, &value)) return nullptr;
  CurrentCore* const core = CoreOrRaise("add_var");
  if (core == nullptr) return nullptr;
  PyObject* const environ = core->request()->parts().environ;
  const PyRef name = FromLatin1(key);
  const PyRef text = FromLatin1(value);
  if (!name || !text || (environ != nullptr && PyDict_SetItem(environ, name.get(), text.get()) < 0)) return nullptr;
  Py_RETURN_TRUE;
}

// Every request is in the access log, if there is one.
PyObject* LogThisRequest(PyObject*, PyObject*) {
  if (CoreOrRaise("log_this_request") == nullptr) return nullptr;
  Py_RETURN_NONE;
}

// The earlier of the deadline that the server has given and the application's own, which counts from now. What the
// request times out with is the server's (greenring.RequestTimeout): the process lives.
PyObject* SetUserHarakiri(PyObject*, PyObject* argument) {
  int64_t own_ns;
  if (!ParseSeconds(argument, &own_ns)) return nullptr;
  UwsgiRequest* const state = UwsgiRequest::OfOrRaise("set_user_harakiri");
  if (state == nullptr) return nullptr;
  CurrentRequest* const request = CurrentCore::Get()->request();
  if (state->configured_timeout_ns == UwsgiRequest::kUnset) {
    const int64_t deadline_ns = request->deadline_ns();
    state->configured_timeout_ns = deadline_ns != kNeverNs ? deadline_ns - request->started_ns() : kNeverNs;
  }
  const int64_t age_ns = request->AgeNs();
  const int64_t timeout_ns = InstantAfter(age_ns, own_ns);
  request->SetTimeout(std::min(timeout_ns, state->configured_timeout_ns));
  Interruptible* const self = Interruptible::Current();  // nullptr: an OS thread, which is interrupted later
  if (self != nullptr && self->RaisePending()) return nullptr;
  Py_RETURN_NONE;
}

PyMethodDef kFunctions[] = {
    {"cl", ContentLength, METH_NOARGS, "cl($module)\n--\n\nThe request's Content-Length; 0 without one."},
    {"request_id", RequestId, METH_NOARGS,
     "request_id($module)\n--\n\nThe number of the request: no other of this worker has it."},
    {"set_logvar", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&SetLogvar)), METH_FASTCALL,
     "set_logvar($module, key, value, /)\n--\n\nThe access log's line of the request has it too."},
    {"get_logvar", GetLogvar, METH_O,
     "get_logvar($module, key, /)\n--\n\nWhat set_logvar() was given, as bytes; None: nothing."},
    {"add_var", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&AddVar)), METH_FASTCALL,
     "add_var($module, key, value, /)\n--\n\nSets a key of the request's environ."},
    {"log_this_request", LogThisRequest, METH_NOARGS,
     "log_this_request($module)\n--\n\nNothing to do: the access log has every request."},
    {"set_user_harakiri", SetUserHarakiri, METH_O,
     "set_user_harakiri($module, seconds, /)\n--\n\nThe request times out in so many seconds; 0: when it would have."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool AddRequestCalls(PyObject* module) { return PyModule_AddFunctions(module, kFunctions) == 0; }

}  // namespace greenring::pyhost
