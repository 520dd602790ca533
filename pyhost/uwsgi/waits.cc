// uwsgi.suspend, green_schedule, wait_fd_read, wait_fd_write, ready_fd, async_sleep and request_context: how a request
// waits by uWSGI's explicit API. What is waited for is said first (wait_fd_*, async_sleep); suspend() waits for it, or
// the server does when the application yields its next item (extension.cc).
#include <fcntl.h>
#include <poll.h>

#include <cerrno>

#include "pyhost/current_core.h"
#include "pyhost/current_request.h"
#include "pyhost/module/arguments.h"
#include "pyhost/py_ref.h"
#include "pyhost/thread_current_core.h"
#include "pyhost/uwsgi/arguments.h"
#include "pyhost/uwsgi/parts.h"
#include "pyhost/uwsgi/request_state.h"

namespace greenring::pyhost {
namespace {

PyObject* Suspend(PyObject*, PyObject*) {
  CurrentCore* const core = CurrentCore::Get();
  if (core == nullptr) {
    if (!YieldThread()) return nullptr;
    Py_RETURN_TRUE;
  }
  UwsgiRequest* const state = UwsgiRequest::Of(core);
  if (state != nullptr && state->has_waits()) {
    if (!state->Await(core)) return nullptr;
  } else {
    if (state != nullptr) state->ForgetResult();
    if (!core->Yield()) return nullptr;
  }
  Py_RETURN_TRUE;
}

// A descriptor that does not exist is refused here, where the mistake is: nothing would ever end the wait.
PyObject* AddWait(const char* function, const Arguments& arguments, short events) {
  PyObject* values[] = {nullptr, nullptr};
  if (!ParseArguments(function, arguments, {"fd", "timeout"}, 1, values)) return nullptr;
  int fd;
  if (!ParseInt(values[0], &fd)) return nullptr;
  int64_t timeout_ns = kNeverNs;
  if (values[1] != nullptr && !ParseSeconds(values[1], &timeout_ns)) return nullptr;
  UwsgiRequest* const state = UwsgiRequest::OfOrRaise(function);
  if (state == nullptr) return nullptr;
  if (fcntl(fd, F_GETFD) < 0) {
    const PyRef error(Py_BuildValue(
        "(iN)", EBADF, PyUnicode_FromFormat("uwsgi.%s(): there is no descriptor %d to wait for", function, fd)));
    if (error) PyErr_SetObject(PyExc_OSError, error.get());
    return nullptr;
  }
  state->Add({.fd = fd, .events = events}, timeout_ns);
  return PyBytes_FromStringAndSize(nullptr, 0);
}

PyObject* WaitFdRead(PyObject*, const Arguments& arguments) { return AddWait("wait_fd_read", arguments, POLLIN); }

PyObject* WaitFdWrite(PyObject*, const Arguments& arguments) { return AddWait("wait_fd_write", arguments, POLLOUT); }

PyObject* ReadyFd(PyObject*, PyObject*) {
  CurrentCore* const core = CurrentCore::Get();
  const UwsgiRequest* const state = core != nullptr ? UwsgiRequest::Of(core) : nullptr;
  return PyLong_FromLong(state != nullptr ? state->ready_fd() : -1);
}

PyObject* AsyncSleep(PyObject*, PyObject* seconds) {
  int64_t timeout_ns = kNeverNs;
  if (!ParseSeconds(seconds, &timeout_ns)) return nullptr;
  UwsgiRequest* const state = UwsgiRequest::OfOrRaise("async_sleep");
  if (state == nullptr) return nullptr;
  state->AddTimeout(timeout_ns);
  return PyBytes_FromStringAndSize(nullptr, 0);
}

// Nothing takes it but the calls that are not there yet: code that hands it on to them finds out there.
PyType_Slot kContextSlots[] = {
    {Py_tp_doc, const_cast<char*>("One request, for uwsgi's calls that take it from another greenlet.")},
    {0, nullptr},
};
PyType_Spec kContextSpec = {"uwsgi.RequestContext", sizeof(PyObject), 0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
                            kContextSlots};
PyTypeObject* context_type = nullptr;

PyObject* RequestContext(PyObject*, PyObject*) {
  if (UwsgiRequest::OfOrRaise("request_context") == nullptr) return nullptr;
  return context_type->tp_alloc(context_type, 0);
}

PyMethodDef kFunctions[] = {
    {"suspend", Suspend, METH_NOARGS,
     "suspend($module)\n--\n\n"
     "Waits for what wait_fd_read(), wait_fd_write() and async_sleep() have asked for; without any of them it lets the "
     "other requests run. Always True: ready_fd() tells what has ended the wait."},
    {"green_schedule", Suspend, METH_NOARGS, "green_schedule($module)\n--\n\nThe older name of suspend()."},
    Method<WaitFdRead>("wait_fd_read",
                       "wait_fd_read($module, fd, timeout=0)\n--\n\n"
                       "The next suspend() also waits for fd to become readable, at most so many seconds; 0: without "
                       "limit."),
    Method<WaitFdWrite>("wait_fd_write",
                        "wait_fd_write($module, fd, timeout=0)\n--\n\n"
                        "The next suspend() also waits for fd to become writable, at most so many seconds; 0: without "
                        "limit."),
    {"ready_fd", ReadyFd, METH_NOARGS,
     "ready_fd($module)\n--\n\nThe descriptor that has ended the last suspend(); -1: none did."},
    {"async_sleep", AsyncSleep, METH_O,
     "async_sleep($module, seconds, /)\n--\n\nThe next suspend() ends after so many seconds at the latest."},
    {"request_context", RequestContext, METH_NOARGS,
     "request_context($module)\n--\n\nStands for the current request where other code works for it."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool AddWaits(PyObject* module) {
  return AddType(module, &kContextSpec, &context_type) && PyModule_AddFunctions(module, kFunctions) == 0;
}

}  // namespace greenring::pyhost
