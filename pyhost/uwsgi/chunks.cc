// uwsgi.chunked_read and chunked_read_nb: the request's body chunk by chunk, as the client has sent them.
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "base/clock.h"
#include "pyhost/current_core.h"
#include "pyhost/current_request.h"
#include "pyhost/exchange_error.h"
#include "pyhost/module/arguments.h"
#include "pyhost/request_body.h"
#include "pyhost/uwsgi/arguments.h"
#include "pyhost/uwsgi/parts.h"
#include "pyhost/uwsgi/request_state.h"

namespace greenring::pyhost {
namespace {

// The next chunk; its beginning stays with the request when it does not come in time.
PyObject* ReadChunk(const char* function, int64_t timeout_ns, bool may_wait) {
  UwsgiRequest* const state = UwsgiRequest::OfOrRaise(function);
  if (state == nullptr) return nullptr;
  PyObject* const body = CurrentCore::Get()->request()->parts().body;
  const absl::Status read = ReadBodyChunk(body, timeout_ns, &state->chunk);
  if (absl::IsDeadlineExceeded(read)) {
    if (!may_wait) Py_RETURN_NONE;
    PyErr_SetString(PyExc_TimeoutError, "unable to receive chunked part: it did not come in time");
    return nullptr;
  }
  if (!read.ok()) {
    if (PyErr_Occurred() == nullptr) RaiseExchangeError(read);
    return nullptr;
  }
  PyObject* const chunk = PyBytes_FromStringAndSize(state->chunk.data(), static_cast<Py_ssize_t>(state->chunk.size()));
  state->chunk.clear();
  return chunk;
}

PyObject* ChunkedRead(PyObject*, const Arguments& arguments) {
  PyObject* seconds = nullptr;
  int64_t timeout_ns = kNeverNs;
  if (!ParseArguments("chunked_read", arguments, {"timeout"}, 0, &seconds)) return nullptr;
  if (seconds != nullptr && !ParseSeconds(seconds, &timeout_ns)) return nullptr;
  return ReadChunk("chunked_read", timeout_ns, /*may_wait=*/true);
}

PyObject* ChunkedReadNb(PyObject*, PyObject*) {
  return ReadChunk("chunked_read_nb", /*timeout_ns=*/0, /*may_wait=*/false);
}

PyMethodDef kFunctions[] = {
    Method<ChunkedRead>("chunked_read",
                        "chunked_read($module, timeout=0)\n--\n\n"
                        "The next chunk of the request's body, b'' at its end. TimeoutError after so many seconds."),
    {"chunked_read_nb", ChunkedReadNb, METH_NOARGS,
     "chunked_read_nb($module)\n--\n\nThe same; None when it has not arrived yet."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool AddChunks(PyObject* module) { return PyModule_AddFunctions(module, kFunctions) == 0; }

}  // namespace greenring::pyhost
