// Runs a WSGI application (PEP 3333) for one request at a time on each core.
//
//   WsgiHandler handler(std::move(application), {.multiprocess = true}, &error_log);
//   const EnvironTemplate* listener = handler.AddListener({.server_name = "0.0.0.0", .server_port = "8080"});
//   scheduler.Spawn([&] {
//     ScopedPythonThread python;
//     for (;;) handler.Handle({connection->head(), connection->peer(), *listener}, connection);
//   });
//
// An application's error is logged with its traceback and the request line, and answered by 500 if the response has not
// begun, else by Exchange::Abort. A request that the exchange cuts short is interrupted (current_request.h); one that
// has timed out is answered by 504 whatever its application makes of that, or by Exchange::Abort. Shared by all cores
// of a worker. GIL held in every call. Scheduler's thread only.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "pyhost/application.h"
#include "pyhost/environ.h"
#include "pyhost/error_log.h"
#include "pyhost/exchange.h"

namespace greenring::pyhost {

class CurrentCore;
class CurrentRequest;
class RequestExtension;
class Response;

class WsgiHandler {
 public:
  // `error_log` and `extension`, which may be null, must outlive it. GIL held.
  WsgiHandler(Application application, const ServerInfo& server, ErrorLog* error_log,
              RequestExtension* extension = nullptr);

  // No Handle is running. GIL held, the interpreter still there.
  ~WsgiHandler();

  WsgiHandler(const WsgiHandler&) = delete;
  WsgiHandler& operator=(const WsgiHandler&) = delete;

  // The environ of a listening socket; owned by the handler. Never parks.
  const EnvironTemplate* AddListener(const ListenerInfo& listener);

  // Serves one request, from environ to the end of the response, and leaves no Python error set. On a green thread with
  // a ScopedPythonThread. Parks.
  void Handle(const RequestInfo& request, Exchange* exchange);

 private:
  struct Slot;
  class ScopedNumber;

  std::unique_ptr<Slot> TakeSlot();
  bool Run(const RequestInfo& request, CurrentRequest* current, Slot* slot);
  bool Send(const RequestInfo& request, CurrentRequest* current, PyObject* result);
  bool SendSequence(PyObject* sequence, Response* response);
  bool SendIterable(PyObject* iterable, CurrentRequest* current);
  bool BeforeNext(CurrentRequest* current, bool was_empty);
  void Close(const RequestInfo& request, PyObject* iterable);
  void HandleError(const RequestInfo& request, Slot* slot, Exchange* exchange);
  void HandleCutShort(CurrentRequest* request, Response* response, Exchange* exchange);
  void Log(const RequestInfo& request, std::string_view event, PyObject* exception);

  const Application application_;
  ErrorLog* const error_log_;
  RequestExtension* const extension_;
  const PyRef errors_;  // wsgi.errors
  const PyRef response_type_;
  const PyRef body_type_;
  const PyRef file_wrapper_type_;
  const PyRef close_name_;
  EnvironBuilder environs_;
  std::vector<std::unique_ptr<Slot>> slots_;  // of requests that have ended; as many as ever ran at once
  std::vector<int> free_numbers_;             // of cores
  int numbers_ = 0;                           // given out so far
};

}  // namespace greenring::pyhost
