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
// begun, else by Exchange::Abort. Shared by all cores of a worker. GIL held in every call. Scheduler's thread only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "pyhost/application.h"
#include "pyhost/environ.h"
#include "pyhost/error_log.h"
#include "pyhost/exchange.h"

namespace greenring::pyhost {

class WsgiHandler {
 public:
  // `error_log` must outlive it. GIL held.
  WsgiHandler(Application application, const ServerInfo& server, ErrorLog* error_log);

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
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace greenring::pyhost
