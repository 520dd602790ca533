// The life of a core, whatever its engine: it takes one request after the other from the pool, and has the application
// handle them.
//
//   CoreLife life({.scheduler = &scheduler, .handler = &handler, .hubs = &hubs, ...});
//   life.SetErrands(&errands);                // as long as cores run
//   life.Run(pool);                           // in CorePool::Runner::RunCore
//
// Engines: a green thread calls the application itself; a core of engine `thread` has an OS thread do it
// (thread_core.h), one of engine `greenlet` or `gevent` a greenlet of a hub (hub_core.h).
//
// Scheduler's thread only.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "green/scheduler.h"
#include "pyhost/exchange.h"
#include "pyhost/os_thread.h"
#include "pyhost/wsgi_handler.h"
#include "worker/core_pool.h"
#include "worker/http_exchange.h"
#include "worker/hubs.h"
#include "worker/log.h"
#include "worker/stack_reports.h"
#include "worker/thread_core.h"

namespace greenring::worker {

class CoreLife {
 public:
  // They outlive the cores.
  struct Parts {
    green::Scheduler* scheduler;
    pyhost::WsgiHandler* handler;
    Hubs* hubs;
    StackReports* stack_reports;
    ErrorLog* error_log;
    // The stack of an OS thread is gone, with what it holds: the worker has to be replaced. `stack` is the Python code
    // that it was in. On the core; never parks.
    std::function<void(const std::string& stack)> on_thread_lost;
  };

  explicit CoreLife(Parts parts) : parts_(std::move(parts)) {}
  CoreLife(const CoreLife&) = delete;
  CoreLife& operator=(const CoreLife&) = delete;

  // Before the first core of engine `thread` runs; lives as long as cores do.
  void SetErrands(pyhost::GilErrands* errands) { errands_ = errands; }

  // Until the pool has no request for it any more. Parks.
  void Run(CorePool* pool);

 private:
  void RunGreenThread(CorePool* pool);
  void RunThread(CorePool* pool);
  void RunGreenlet(CorePool* pool);
  void Handle(HttpExchange* request, pyhost::Exchange* exchange);
  void OnThreadLost(const ThreadCore& core, HttpExchange* request, const absl::Status& why);

  const Parts parts_;
  pyhost::GilErrands* errands_ = nullptr;
};

}  // namespace greenring::worker
