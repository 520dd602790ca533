// The way of a call from gRPC's threads to the control plane and back: what every method of every service goes through.
//
//   grpc::ServerUnaryReactor* PoolService::GetPool(context, request, response) {
//     return gate_->Read(request, response, [this](const v1::GetPoolRequest& request) -> absl::StatusOr<v1::Pool> {
//       return plane->GetPool(request.name());                                   // on the reactor's thread
//     });
//   }
//
// No thread waits: the call is queued for the reactor, and answered from there. A call whose client has gone by then is
// not made. Thread-safe; never blocks.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/statusor.h"
#include "control/control_plane.h"
#include "control/reactor.h"
#include "control/service/call_log.h"
#include "control/service/caller_table.h"
#include "control/service/open_calls.h"
#include "control/service/unary_call.h"
#include "grpcpp/server_context.h"

namespace greenring::control {

class Gate {
 public:
  Gate(Reactor* reactor, ControlPlane* plane, CallLog* log)
      : reactor_(reactor), plane_(plane), log_(log), calls_(std::make_shared<OpenCalls>()) {}

  Reactor* reactor() const { return reactor_; }
  ControlPlane* plane() const { return plane_; }
  const std::shared_ptr<OpenCalls>& calls() const { return calls_; }
  CallerTable* callers() { return &callers_; }

  // `handler(request)` gives the answer, as absl::StatusOr<Response>.
  template <typename Request, typename Response, typename Handler>
  grpc::ServerUnaryReactor* Read(const Request* request, Response* response, Handler handler) {
    auto call = UnaryCall<Response>::Begin(calls_, response);
    reactor_->Post([call, request = *request, handler = std::move(handler)] {
      if (call->open()) call->Answer(handler(request));
    });
    return call.get();
  }

  // `handler(request, call)` sees to the answer, now or later.
  template <typename Request, typename Response, typename Handler>
  grpc::ServerUnaryReactor* ReadLater(const Request* request, Response* response, Handler handler,
                                      std::function<void()> abandoned = nullptr) {
    auto call = UnaryCall<Response>::Begin(calls_, response, std::move(abandoned));
    reactor_->Post([call, request = *request, handler = std::move(handler)] {
      if (call->open()) handler(request, call);
    });
    return call.get();
  }

  // As ReadLater, of what changes something: `handler(request, caller, done)` calls `done` with the answer. The log
  // gets a line, with the outcome, even if the client has gone by then.
  template <typename Request, typename Response, typename Handler>
  grpc::ServerUnaryReactor* ChangeLater(const grpc::CallbackServerContext* context, std::string method,
                                        std::string target, const Request* request, Response* response,
                                        Handler handler) {
    auto call = UnaryCall<Response>::Begin(calls_, response);
    reactor_->Post([this, call, change = CallLog::Change{std::move(method), std::move(target), "", "", {}},
                    caller = callers_.Of(*context), request = *request, handler = std::move(handler)] {
      if (!call->open()) return;
      handler(request, caller, [log = log_, call, change, caller](absl::StatusOr<Response> answer) {
        CallLog::Change made = change;
        made.caller = caller.name;
        made.outcome = answer.status();
        if constexpr (std::is_same_v<Response, v1::Operation>) made.operation = answer.ok() ? answer->name() : "";
        log->OnChange(made);
        call->Answer(std::move(answer));
      });
    });
    return call.get();
  }

  // As Read, of what changes something: `handler(request, caller)`.
  template <typename Request, typename Response, typename Handler>
  grpc::ServerUnaryReactor* Change(const grpc::CallbackServerContext* context, std::string method, std::string target,
                                   const Request* request, Response* response, Handler handler) {
    return ChangeLater(context, std::move(method), std::move(target), request, response,
                       [handler = std::move(handler)](const Request& request, const Caller& caller, const auto& done) {
                         done(handler(request, caller));
                       });
  }

 private:
  Reactor* const reactor_;
  ControlPlane* const plane_;
  CallLog* const log_;
  const std::shared_ptr<OpenCalls> calls_;
  CallerTable callers_;
};

}  // namespace greenring::control
