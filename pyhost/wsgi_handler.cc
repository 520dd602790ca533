#include "pyhost/wsgi_handler.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/clock.h"
#include "pyhost/current_core.h"
#include "pyhost/current_request.h"
#include "pyhost/error_stream.h"
#include "pyhost/file_wrapper.h"
#include "pyhost/interrupt_errors.h"
#include "pyhost/py_text.h"
#include "pyhost/python_error.h"
#include "pyhost/request_body.h"
#include "pyhost/request_extension.h"
#include "pyhost/response.h"
#include "pyhost/thread_current_core.h"

namespace greenring::pyhost {
namespace {

bool BytesView(PyObject* object, std::string_view* view) {
  if (!PyBytes_Check(object)) {
    PyErr_Format(PyExc_TypeError, "the application's iterable must give bytes, not %.100s", Py_TYPE(object)->tp_name);
    return false;
  }
  *view = {PyBytes_AS_STRING(object), static_cast<size_t>(PyBytes_GET_SIZE(object))};
  return true;
}

// The items of a list or tuple of nothing but bytes objects: their sizes are known without running Python code.
bool AreAllBytes(PyObject* sequence) {
  PyObject** items = PySequence_Fast_ITEMS(sequence);
  return std::all_of(items, items + PySequence_Fast_GET_SIZE(sequence),
                     [](PyObject* item) { return PyBytes_Check(item); });
}

bool IsListOrTuple(PyObject* object) { return PyList_CheckExact(object) || PyTuple_CheckExact(object); }

double SecondsOf(int64_t duration_ns) {
  return static_cast<double>(duration_ns) / static_cast<double>(kNanosecondsPerSecond);
}

bool RequireStart(const Response& response) {
  if (response.started()) return true;
  PyErr_SetString(PyExc_AssertionError, "the application did not call start_response");
  return false;
}

}  // namespace

// What a request needs besides its environ, kept for the next one. On the heap: a greenlet's stack is copied away while
// others run, and the request must be where those who interrupt it find it.
struct WsgiHandler::Slot {
  Slot(PyObject* response_type, PyObject* body_type) : response(response_type), body(NewRequestBody(body_type)) {
    GREENRING_CHECK(body);
  }

  Response response;
  PyRef body;
  std::optional<CurrentRequest> request;
  std::optional<ThreadCurrentCore> core;
};

// A core's number while it runs a request: one that was free before a new one.
class WsgiHandler::ScopedNumber {
 public:
  explicit ScopedNumber(WsgiHandler* handler) : handler_(handler) {
    std::vector<int>& free = handler_->free_numbers_;
    value_ = free.empty() ? handler_->numbers_++ : free.back();
    if (!free.empty()) free.pop_back();
  }
  ~ScopedNumber() { handler_->free_numbers_.push_back(value_); }
  ScopedNumber(const ScopedNumber&) = delete;
  ScopedNumber& operator=(const ScopedNumber&) = delete;

  int value() const { return value_; }

 private:
  WsgiHandler* const handler_;
  int value_;
};

WsgiHandler::WsgiHandler(Application application, const ServerInfo& server, ErrorLog* error_log,
                         RequestExtension* extension)
    : application_(std::move(application)),
      error_log_(error_log),
      extension_(extension),
      errors_(NewErrorStream(error_log)),
      response_type_(Response::NewHandleType()),
      body_type_(NewRequestBodyType()),
      file_wrapper_type_(NewFileWrapperType()),
      close_name_(PyUnicode_InternFromString("close")),
      environs_(server, errors_.get(), file_wrapper_type_.get()) {
  GREENRING_CHECK(errors_ && response_type_ && body_type_ && file_wrapper_type_ && close_name_);
  if (extension_ == nullptr) return;
  environs_.SetExtras(PyRef(extension_->Constants()));
  GREENRING_CHECK(PyErr_Occurred() == nullptr);
}

WsgiHandler::~WsgiHandler() { CloseErrorStream(errors_.get()); }

const EnvironTemplate* WsgiHandler::AddListener(const ListenerInfo& listener) {
  return environs_.AddListener(listener);
}

void WsgiHandler::Handle(const RequestInfo& request, Exchange* exchange) {
  std::unique_ptr<Slot> slot = TakeSlot();
  slot->response.Attach(exchange);
  AttachRequestBody(slot->body.get(), exchange, request.head);
  CurrentRequest* const current = &slot->request.emplace(request.head, exchange, error_log_, request.request_id);
  current->mutable_parts()->response = &slot->response;
  current->mutable_parts()->body = slot->body.get();
  const ScopedNumber number(this);
  slot->core.emplace(current, exchange, number.value());
  const bool ran = Run(request, current, slot.get());
  if (exchange->cut_short() != CutShort::kNo) {
    HandleCutShort(current, &slot->response, exchange);
  } else if (!ran) {
    HandleError(request, slot.get(), exchange);
  }
  if (extension_ != nullptr && !extension_->OnEnd(&*slot->core)) {
    Log(request, "what was to be done after the request failed", TakeException().get());
  }
  slot->core.reset();
  slot->request.reset();
  DetachRequestBody(slot->body.get());
  if (slot->response.Detach() && Py_REFCNT(slot->body.get()) == 1) slots_.push_back(std::move(slot));
}

std::unique_ptr<WsgiHandler::Slot> WsgiHandler::TakeSlot() {
  if (slots_.empty()) return std::make_unique<Slot>(response_type_.get(), body_type_.get());
  std::unique_ptr<Slot> slot = std::move(slots_.back());
  slots_.pop_back();
  return slot;
}

// Calls the application and sends what it returns. False with a Python error.
bool WsgiHandler::Run(const RequestInfo& request, CurrentRequest* current, Slot* slot) {
  const PyRef environ = environs_.Build(request, slot->body.get());
  if (!environ) return false;
  if (extension_ != nullptr && !extension_->OnBegin(current->parts().core, environ.get())) return false;
  current->mutable_parts()->environ = environ.get();
  PyObject* arguments[] = {nullptr, environ.get(), slot->response.start_response()};
  const PyRef result(
      PyObject_Vectorcall(application_.callable.get(), arguments + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr));
  const bool sent = result && Send(request, current, result.get());
  current->mutable_parts()->environ = nullptr;
  return sent;
}

bool WsgiHandler::Send(const RequestInfo& request, CurrentRequest* current, PyObject* result) {
  if (IsListOrTuple(result) && AreAllBytes(result)) {  // they have no close()
    return BeforeNext(current, /*was_empty=*/false) && SendSequence(result, current->parts().response);
  }
  const bool sent = SendIterable(result, current);
  if (!IsListOrTuple(result)) Close(request, result);
  return sent;
}

// What the application has asked to wait for before it goes on. False with a Python error.
bool WsgiHandler::BeforeNext(CurrentRequest* current, bool was_empty) {
  return extension_ == nullptr || extension_->BeforeNext(current->parts().core, current->parts().environ, was_empty);
}

bool WsgiHandler::SendSequence(PyObject* sequence, Response* response) {
  if (!RequireStart(*response)) return false;
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(sequence);
  std::string_view piece;
  if (count <= 1) {
    if (count == 1) BytesView(PySequence_Fast_GET_ITEM(sequence, 0), &piece);
    response->SendComplete(piece);
    return true;
  }
  // Sending may park, and the application may have kept the list: hold what is to be sent.
  const PyRef pieces(PySequence_Tuple(sequence));
  if (!pieces) return false;
  int64_t body_bytes = 0;
  for (Py_ssize_t i = 0; i < count; ++i) body_bytes += PyBytes_GET_SIZE(PyTuple_GET_ITEM(pieces.get(), i));
  for (Py_ssize_t i = 0; i < count && !response->gone(); ++i) {
    BytesView(PyTuple_GET_ITEM(pieces.get(), i), &piece);
    if (!piece.empty()) response->Send(piece, body_bytes);
  }
  response->SendComplete({});
  return true;
}

// Each piece is handed to the kernel before the application is asked for the next one.
bool WsgiHandler::SendIterable(PyObject* iterable, CurrentRequest* current) {
  Response* const response = current->parts().response;
  FileRange range;
  if (FileRangeOf(iterable, file_wrapper_type_.get(), &range)) {
    if (!RequireStart(*response)) return false;
    if (response->content_length() >= 0) range.size_bytes = std::min(range.size_bytes, response->content_length());
    response->SendFile(range.fd, range.offset, range.size_bytes);
    return true;
  }
  const PyRef iterator(PyObject_GetIter(iterable));
  if (!iterator) return false;
  for (bool was_empty = false; !response->gone();) {
    if (!BeforeNext(current, was_empty)) return false;
    const PyRef item(PyIter_Next(iterator.get()));
    if (!item) {
      if (PyErr_Occurred() != nullptr || !RequireStart(*response)) return false;
      response->SendComplete({});
      return true;
    }
    std::string_view piece;
    if (!BytesView(item.get(), &piece)) return false;
    was_empty = piece.empty();
    if (was_empty) continue;
    if (!RequireStart(*response)) return false;
    if (response->Send(piece)) response->Flush();
  }
  return true;
}

// PEP 3333: close() is called whatever happened, once. An error that is set stays set.
void WsgiHandler::Close(const RequestInfo& request, PyObject* iterable) {
  PyRef pending = TakeException();
  CurrentRequest::Current()->BeginClose();
  const PyRef close(PyObject_GetAttr(iterable, close_name_.get()));
  const PyRef closed(close ? PyObject_CallNoArgs(close.get()) : nullptr);
  if (!closed && (close || !PyErr_ExceptionMatches(PyExc_AttributeError))) {
    Log(request, "close() of the response failed", TakeException().get());
  }
  PyErr_Clear();
  if (pending) RestoreException(std::move(pending));
}

void WsgiHandler::HandleError(const RequestInfo& request, Slot* slot, Exchange* exchange) {
  const PyRef exception = TakeException();
  GREENRING_CHECK(exception);
  Response& response = slot->response;
  const absl::Status body_status = RequestBodyStatus(slot->body.get());
  // That the client is gone comes back as the OSError which the application got from us: that is nobody's mistake.
  const bool client_failed =
      (response.gone() || !body_status.ok()) && PyErr_GivenExceptionMatches(exception.get(), PyExc_OSError) != 0;
  if (!client_failed) Log(request, "the application failed", exception.get());
  if (response.gone()) return;
  if (response.head_sent()) {
    exchange->Abort();
  } else if (client_failed && absl::IsInvalidArgument(body_status)) {
    response.Replace("400 Bad Request", "Bad Request\n");
  } else if (PyErr_GivenExceptionMatches(exception.get(), InterruptErrors::RequestTimeout()) != 0) {
    response.Replace("504 Gateway Timeout", "Gateway Timeout\n");  // of a block that had a time of its own
  } else {
    response.Replace("500 Internal Server Error", "Internal Server Error\n");
  }
}

// The request's end came from outside. There may be a Python error, of the interruption or of anything else.
void WsgiHandler::HandleCutShort(CurrentRequest* request, Response* response, Exchange* exchange) {
  const PyRef exception = TakeException();
  request->WithdrawPosted();  // to log it may read files
  const CutShort reason = exchange->cut_short();
  const bool timed_out = reason == CutShort::kTimedOut;
  if (!timed_out && reason != CutShort::kCancelled) {
    error_log_->RequestMessage(
        request->name(),
        absl::StrCat(reason == CutShort::kDisconnected ? "the client is gone" : "the worker is draining",
                     "; the request was cancelled after ", SecondsOf(request->AgeNs()), " s"));
    exchange->Abort();
    return;
  }
  PyObject* const ours = timed_out ? InterruptErrors::RequestTimeout() : InterruptErrors::Cancelled();
  const bool let_through = exception && PyErr_GivenExceptionMatches(exception.get(), ours) != 0;
  std::string event =
      absl::StrCat(timed_out ? "timed out" : "cancelled", " after ", SecondsOf(request->AgeNs()), " s",
                   timed_out ? "" : absl::StrCat(" by an operator (", request->cancel_reason(), ")"), "; ",
                   response->head_sent() ? "its response had begun, the connection is closed"
                   : timed_out           ? "answered 504"
                                         : "answered 503");
  std::string stack;
  if (request->interrupted() && !let_through) {
    absl::StrAppend(&event, "; the application made something else of greenring.",
                    timed_out ? "RequestTimeout" : "Cancelled", ", which was raised in");
    stack = request->interrupted_at();
  }
  if (exception) stack += FormatException(exception.get());
  if (!stack.empty()) absl::StrAppend(&event, "\n", stack);
  if (event.back() == '\n') event.pop_back();
  error_log_->RequestMessage(request->name(), event);
  if (response->head_sent()) {
    exchange->Abort();
  } else if (timed_out) {
    response->Replace("504 Gateway Timeout", "Gateway Timeout\n");
  } else {
    response->Replace("503 Service Unavailable", "Service Unavailable\n");
  }
}

void WsgiHandler::Log(const RequestInfo& request, std::string_view event, PyObject* exception) {
  error_log_->RequestMessage({.id = request.request_id, .method = request.head.method, .target = request.head.target},
                             absl::StrCat(std::string(event), "\n", FormatException(exception)));
}

}  // namespace greenring::pyhost
