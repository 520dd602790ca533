#include "pyhost/response.h"

#include <utility>

#include "base/check.h"
#include "protocol/bytes.h"
#include "pyhost/exchange_error.h"
#include "pyhost/os_thread.h"
#include "pyhost/py_text.h"
#include "pyhost/python_error.h"

namespace greenring::pyhost {

// What start_response and write are bound to: it outlives the Response when the application keeps one of them.
struct Response::Handle {
  PyObject_HEAD Response* response;
};

namespace {

void DeallocateHandle(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_Free(self);
  Py_DECREF(type);
}

PyType_Slot kHandleSlots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(DeallocateHandle)},
    {0, nullptr},
};

bool Refuse(const char* reason, PyObject* culprit) {
  PyErr_Format(PyExc_ValueError, "start_response: %s: %R", reason, culprit);
  return false;
}

// Event streams often set `Connection: keep-alive`. PEP 3333 forbids it, but it is only a wish about what the server
// decides anyway: it is left out. The other hop-by-hop headers would change what the message means.
bool IsConnectionWish(std::string_view name) {
  return protocol::EqualsIgnoreCase(name, "connection") || protocol::EqualsIgnoreCase(name, "keep-alive");
}

// Raises exc_info's exception, as `raise exc_info[1].with_traceback(exc_info[2])`.
void RaiseAgain(PyObject* exc_info) {
  PyObject* value = PyTuple_GET_ITEM(exc_info, 1);
  PyObject* traceback = PyTuple_GET_ITEM(exc_info, 2);
  if (!PyExceptionInstance_Check(value)) {
    PyErr_SetString(PyExc_TypeError, "start_response: exc_info must be what sys.exc_info() returns");
    return;
  }
  if (PyTraceBack_Check(traceback)) PyException_SetTraceback(value, traceback);
  RestoreException(PyRef::Share(value));
}

}  // namespace

PyMethodDef Response::kStartResponse = {
    "start_response",
    reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&Response::StartResponse)),
    METH_FASTCALL | METH_KEYWORDS,
    "start_response(status, headers, exc_info=None) begins the response and returns write.",
};

PyMethodDef Response::kWrite = {"write", &Response::Write, METH_O, "write(data) sends a piece of the body at once."};

PyRef Response::NewHandleType() {
  static PyType_Spec spec = {"greenring.Response", sizeof(Handle), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, kHandleSlots};
  return PyRef(PyType_FromSpec(&spec));
}

Response::Response(PyObject* handle_type) {
  Handle* handle = PyObject_New(Handle, reinterpret_cast<PyTypeObject*>(handle_type));
  GREENRING_CHECK(handle != nullptr);
  handle->response = this;
  handle_.reset(reinterpret_cast<PyObject*>(handle));
  start_response_.reset(PyCFunction_New(&kStartResponse, handle_.get()));
  write_.reset(PyCFunction_New(&kWrite, handle_.get()));
  GREENRING_CHECK(start_response_ && write_);
}

Response::~Response() { reinterpret_cast<Handle*>(handle_.get())->response = nullptr; }

void Response::Attach(Exchange* exchange) {
  exchange_ = exchange;
  owner_ = CurrentThreadToken();
  status_ = absl::OkStatus();
  head_sent_ = finished_ = disconnected_ = false;
  encoder_.Clear();
}

bool Response::Detach() {
  exchange_ = nullptr;
  return Py_REFCNT(start_response_.get()) == 1 && Py_REFCNT(write_.get()) == 1;
}

Response* Response::Usable(PyObject* handle) {
  Response* response = reinterpret_cast<Handle*>(handle)->response;
  if (response != nullptr && response->exchange_ != nullptr) return response;
  PyErr_SetString(PyExc_RuntimeError, "the response cannot be changed after its request has ended");
  return nullptr;
}

PyObject* Response::StartResponse(PyObject* handle, PyObject* const* arguments, Py_ssize_t count, PyObject* names) {
  Response* response = Usable(handle);
  if (response == nullptr) return nullptr;
  const Py_ssize_t named = names != nullptr ? PyTuple_GET_SIZE(names) : 0;
  if (count + named < 2 || count + named > 3 || count < 2 ||
      (named == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "exc_info") != 0)) {
    PyErr_SetString(PyExc_TypeError, "start_response takes (status, headers, exc_info=None)");
    return nullptr;
  }
  PyObject* exc_info = count + named == 3 && arguments[2] != Py_None ? arguments[2] : nullptr;
  if (exc_info != nullptr && (!PyTuple_Check(exc_info) || PyTuple_GET_SIZE(exc_info) != 3)) {
    PyErr_SetString(PyExc_TypeError, "start_response: exc_info must be what sys.exc_info() returns");
    return nullptr;
  }
  if (exc_info != nullptr && response->head_sent_) {
    RaiseAgain(exc_info);
    return nullptr;
  }
  if (exc_info == nullptr && response->encoder_.has_status()) {
    PyErr_SetString(PyExc_AssertionError, "start_response was called a second time without exc_info");
    return nullptr;
  }
  if (!response->Start(arguments[0], arguments[1])) {
    response->encoder_.Clear();
    return nullptr;
  }
  return Py_NewRef(response->write_.get());
}

bool Response::Start(PyObject* status, PyObject* headers) {
  std::string_view text;
  if (!PyUnicode_Check(status)) {
    PyErr_Format(PyExc_TypeError, "start_response: the status must be str, not %.100s", Py_TYPE(status)->tp_name);
    return false;
  }
  if (!Latin1View(status, &text)) return Refuse("the status must be latin-1", status);
  if (const char* reason = encoder_.SetStatus(text)) return Refuse(reason, status);
  const PyRef sequence(PyList_Check(headers) ? Py_NewRef(headers)
                                             : PySequence_Fast(headers, "start_response: the headers must be a list"));
  if (!sequence) return false;
  PyObject** items = PySequence_Fast_ITEMS(sequence.get());  // no Python code runs below that could change the list
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(sequence.get());
  for (Py_ssize_t i = 0; i < count; ++i) {
    if (!AddHeader(items[i])) return false;
  }
  return true;
}

bool Response::AddHeader(PyObject* header) {
  if (!PyTuple_Check(header) || PyTuple_GET_SIZE(header) != 2) {
    PyErr_Format(PyExc_TypeError, "start_response: a header must be a tuple (name, value), not %R", header);
    return false;
  }
  PyObject* name = PyTuple_GET_ITEM(header, 0);
  PyObject* value = PyTuple_GET_ITEM(header, 1);
  std::string_view name_text;
  std::string_view value_text;
  if (!PyUnicode_Check(name) || !PyUnicode_Check(value)) {
    PyErr_Format(PyExc_TypeError, "start_response: a header's name and value must be str: %R", header);
    return false;
  }
  if (!Latin1View(name, &name_text) || !Latin1View(value, &value_text)) {
    return Refuse("a header's name and value must be latin-1", header);
  }
  const char* reason = encoder_.AddHeader(name_text, value_text);
  return reason == nullptr || IsConnectionWish(name_text) || Refuse(reason, header);
}

PyObject* Response::Write(PyObject* handle, PyObject* data) {
  Response* response = Usable(handle);
  if (response == nullptr) return nullptr;
  if (!PyBytes_Check(data)) {
    return PyErr_Format(PyExc_TypeError, "write() needs bytes, not %.100s", Py_TYPE(data)->tp_name);
  }
  if (CurrentThreadToken() != response->owner_) {
    PyErr_SetString(PyExc_RuntimeError, "write() can only be called by the thread that handles the request");
    return nullptr;
  }
  const std::string_view piece(PyBytes_AS_STRING(data), static_cast<size_t>(PyBytes_GET_SIZE(data)));
  if (!piece.empty() && !(response->Send(piece) && response->Flush())) {
    RaiseExchangeError(response->status_);
    return nullptr;
  }
  Py_RETURN_NONE;
}

bool Response::Note(absl::Status status) {
  if (!status.ok() && status_.ok()) status_ = std::move(status);
  return status_.ok();
}

// Whoever is told 504 or 503 is not told anything else.
bool Response::InTime() {
  const CutShort cut_short = exchange_->cut_short();
  if (cut_short == CutShort::kTimedOut) return Note(absl::CancelledError("the deadline of the request has passed"));
  return cut_short != CutShort::kCancelled || Note(absl::CancelledError("the request was cancelled"));
}

void Response::Disconnect() {
  if (disconnected_) return;
  if (encoder_.has_status() && !finished_) SendComplete({});
  disconnected_ = true;
  exchange_->Disconnect();
}

bool Response::SendHead(int64_t body_bytes) {
  if (gone()) return false;
  if (head_sent_) return true;
  if (!InTime()) return false;
  head_sent_ = true;
  return Note(exchange_->SendHead(encoder_, body_bytes));
}

bool Response::SendComplete(std::string_view body) {
  if (disconnected_) return true;
  if (gone()) return false;
  if (!head_sent_) {
    if (!InTime()) return false;
    head_sent_ = true;
    return finished_ = Note(exchange_->SendComplete(encoder_, body));
  }
  return (body.empty() || Note(exchange_->SendBody(body))) && Finish();
}

bool Response::Send(std::string_view piece, int64_t body_bytes) {
  return disconnected_ || (SendHead(body_bytes) && Note(exchange_->SendBody(piece)));
}

bool Response::SendFile(int fd, int64_t offset, int64_t size_bytes) {
  if (disconnected_) return true;
  return SendHead(size_bytes) && Note(exchange_->SendFile(fd, offset, size_bytes).status()) && Finish();
}

bool Response::Flush() { return disconnected_ || (!gone() && Note(exchange_->Flush())); }

bool Response::Finish() { return finished_ = !gone() && Note(exchange_->Finish()); }

bool Response::Replace(std::string_view status, std::string_view text) {
  GREENRING_CHECK(!head_sent_);
  GREENRING_CHECK(encoder_.SetStatus(status) == nullptr);
  GREENRING_CHECK(encoder_.AddHeader("Content-Type", "text/plain") == nullptr);
  if (absl::IsCancelled(status_)) status_ = absl::OkStatus();
  if (gone() || disconnected_) return false;
  head_sent_ = true;
  return finished_ = Note(exchange_->SendComplete(encoder_, text));
}

}  // namespace greenring::pyhost
