#include "worker/core_life.h"

#include <optional>
#include <string>

#include "pyhost/environ.h"
#include "pyhost/gil.h"
#include "pyhost/interrupt.h"
#include "worker/connection.h"
#include "worker/core_engine.h"
#include "worker/http_service.h"
#include "worker/hub_core.h"

namespace greenring::worker {
namespace {

// What the application is told of a request.
pyhost::RequestInfo InfoOf(HttpExchange* request) {
  Connection* const connection = request->connection();
  static const pyhost::PeerAddress kToldByVariables;
  const bool is_told = !request->head().remote_addr.empty();  // the other end is a web server: no need to ask for it
  return {request->head(), is_told ? kToldByVariables : connection->peer(), *connection->listener()->environ,
          request->request_id(), request->script_name_bytes()};
}

}  // namespace

void CoreLife::Run(CorePool* pool) {
  if (pool->current_engine() == CoreEngine::kThread) return RunThread(pool);
  if (HasHub(pool->current_engine())) return RunGreenlet(pool);
  RunGreenThread(pool);
}

void CoreLife::RunGreenThread(CorePool* pool) {
  pyhost::ScopedPythonThread python;
  while (HttpExchange* request = pool->Next()) {
    Connection* const connection = request->connection();
    Handle(request, request);
    connection->OnServed();
    pyhost::Interruptible::Current()->Reset();
    parts_.stack_reports->WriteIfOverflowed();
  }
}

void CoreLife::RunThread(CorePool* pool) {
  ThreadCore core(parts_.scheduler, errands_, pool->current_stack_size_bytes(),
                  [this](HttpExchange* request, pyhost::Exchange* exchange) { Handle(request, exchange); });
  while (HttpExchange* request = pool->Next()) {
    Connection* const connection = request->connection();
    connection->peer();  // looked up here, and known from then on
    request->request_id();
    const absl::Status served = core.Serve(request);
    if (absl::IsDataLoss(served)) return OnThreadLost(core, request, served);
    if (!served.ok()) {
      parts_.error_log->RequestMessage(request->name(), std::string(served.message()));
      request->Abort();
    }
    connection->OnServed();
  }
}

void CoreLife::RunGreenlet(CorePool* pool) {
  const CoreEngine engine = pool->current_engine();
  std::optional<HubCore> core;
  while (HttpExchange* request = pool->Next()) {
    if (!core.has_value() || core->hub_lost()) {
      core.emplace(parts_.hubs->Of(engine),
                   [this](HttpExchange* served, pyhost::Exchange* exchange) { Handle(served, exchange); });
    }
    const bool served = core->Serve(request);
    if (core->request_lost()) {
      parts_.error_log->RequestMessage(request->name(),
                                       "the stack that it shared with others overflowed; the request is lost");
      request->connection()->OnAbandoned();
      continue;
    }
    if (!served) {
      parts_.error_log->RequestMessage(request->name(), "its greenlet ended before it began; the connection is closed");
      request->Abort();
    }
    request->connection()->OnServed();
  }
}

void CoreLife::Handle(HttpExchange* request, pyhost::Exchange* exchange) {
  parts_.handler->Handle(InfoOf(request), exchange);
}

void CoreLife::OnThreadLost(const ThreadCore& core, HttpExchange* request, const absl::Status& why) {
  parts_.error_log->RequestMessage(request->name(), std::string(why.message()));
  request->connection()->OnAbandoned();
  parts_.on_thread_lost(core.DescribeLostStack());
}

}  // namespace greenring::worker
