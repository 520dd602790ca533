#include "pyhost/uwsgi/extension.h"

#include <utility>

#include "base/check.h"
#include "pyhost/current_core.h"
#include "pyhost/py_ref.h"
#include "pyhost/uwsgi/parts.h"
#include "pyhost/uwsgi/request_state.h"

namespace greenring::pyhost {
namespace {

class Extension final : public RequestExtension {
 public:
  PyObject* Constants() override;
  bool OnBegin(CurrentCore* core, PyObject* environ) override;
  bool BeforeNext(CurrentCore* core, PyObject* environ, bool was_empty) override;
  bool OnEnd(CurrentCore*) override { return CallHook(end_hook_); }

 private:
  bool Tell(UwsgiRequest* state, PyObject* environ);

  PyObject* core_key_ = nullptr;  // interned, for the process's life
  PyObject* timeout_key_ = nullptr;
  PyObject* ready_key_ = nullptr;
  PyObject* end_hook_ = nullptr;
};

bool Set(PyObject* dictionary, PyObject* key, PyRef value) {
  return key != nullptr && value && PyDict_SetItem(dictionary, key, value.get()) == 0;
}

// The module itself may not have been imported yet: a server that has it offers all of this.
PyObject* Extension::Constants() {
  core_key_ = PyUnicode_InternFromString("uwsgi.core");
  timeout_key_ = PyUnicode_InternFromString("x-wsgiorg.fdevent.timeout");
  ready_key_ = PyUnicode_InternFromString("uwsgi.ready_fd");
  end_hook_ = PyUnicode_InternFromString("after_req_hook");
  const PyRef module(PyImport_ImportModule("uwsgi"));
  PyRef constants(module ? PyDict_New() : nullptr);
  if (!constants) return nullptr;
  const std::pair<const char*, const char*> from_module[] = {
      {"uwsgi.version", "version"},
      {"uwsgi.node", "hostname"},
      {"x-wsgiorg.fdevent.readable", "wait_fd_read"},
      {"x-wsgiorg.fdevent.writable", "wait_fd_write"},
  };
  for (const auto& [key, attribute] : from_module) {
    if (!Set(constants.get(), PyRef(PyUnicode_InternFromString(key)).get(),
             PyRef(PyObject_GetAttrString(module.get(), attribute)))) {
      return nullptr;
    }
  }
  const bool set = Set(constants.get(), core_key_, PyRef(PyLong_FromLong(0))) &&
                   Set(constants.get(), timeout_key_, PyRef::Share(Py_None)) &&
                   Set(constants.get(), ready_key_, PyRef::Share(Py_None));
  return set ? constants.release() : nullptr;
}

bool Extension::OnBegin(CurrentCore* core, PyObject* environ) {
  return Set(environ, core_key_, PyRef(PyLong_FromLong(core->number())));
}

bool Extension::BeforeNext(CurrentCore* core, PyObject* environ, bool was_empty) {
  UwsgiRequest* const state = UwsgiRequest::Of(core);
  if (state != nullptr && state->has_waits()) return state->Await(core) && Tell(state, environ);
  if (state != nullptr && state->told_environ) {
    state->ForgetResult();
    if (!Tell(state, environ)) return false;
  }
  return !was_empty || core->Yield();
}

bool Extension::Tell(UwsgiRequest* state, PyObject* environ) {
  const int ready_fd = state->ready_fd();
  state->told_environ = ready_fd >= 0 || state->timed_out();
  return Set(environ, timeout_key_, PyRef::Share(state->timed_out() ? Py_True : Py_None)) &&
         Set(environ, ready_key_, ready_fd >= 0 ? PyRef(PyLong_FromLong(ready_fd)) : PyRef::Share(Py_None));
}

}  // namespace

RequestExtension* UwsgiExtension() {
  static constinit Extension extension;
  return &extension;
}

}  // namespace greenring::pyhost
