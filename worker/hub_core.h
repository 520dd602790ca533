// A core of engine `greenlet` or `gevent`: its place on the loop, a green thread, and the greenlet of a hub that runs
// the application.
//
//   HubCore core(hub, [&](HttpExchange* request, pyhost::Exchange* exchange) { ... });
//   while (HttpExchange* request = pool->Next()) {          // in CorePool::Runner::RunCore
//     const bool served = core.Serve(request);
//     if (core.request_lost()) {
//       request->connection()->OnAbandoned();
//       continue;
//     }
//     if (!served) request->Abort();
//     request->connection()->OnServed();
//   }
//
//     core's green thread                    the hub's green thread (pyhost/hub.h)
//     Serve ── due ────────────────────────> handle(request, exchange), on a greenlet, GIL held
//            parked                            exchange->SendBody(...)
//     SendBody, may park <───────────────────  switches to the hub: other requests run
//            └───────── due ───────────────> goes on
//     returns <─────────────────────────────  the greenlet has ended
//
// What does not park is done on the greenlet itself: all of it is one OS thread.
//
// Made, used and destroyed on one green thread.
#pragma once

#include <functional>

#include "absl/status/status.h"
#include "pyhost/core_greenlet.h"
#include "pyhost/exchange.h"
#include "pyhost/hub.h"
#include "worker/core_engine.h"
#include "worker/http_exchange.h"

namespace greenring::worker {

class HubCore final {
 public:
  // On the greenlet, GIL held; `exchange` stands for the request there.
  using Handle = std::function<void(HttpExchange* request, pyhost::Exchange* exchange)>;

  HubCore(pyhost::Hub* hub, Handle handle);

  HubCore(const HubCore&) = delete;
  HubCore& operator=(const HubCore&) = delete;

  // Has the request handled. False: nothing was done; its greenlet was killed before it began, or the hub cannot run.
  // Parks.
  bool Serve(HttpExchange* request);

  // Of the last one that was served: the hub's stack was lost, and the request with it (Connection::OnAbandoned).
  bool request_lost() const { return greenlet_.lost(); }

  // So is every request from now on.
  bool hub_lost() const { return greenlet_.hub()->lost(); }

 private:
  class GreenletExchange;  // the request, as the greenlet has it
  class LoopInterrupter;   // who is told on the loop that it shall end

  const Handle handle_;
  pyhost::CoreGreenlet greenlet_;
};

// Whether there is what `engine` needs; FAILED_PRECONDITION says what to install. GIL held. Parks: it may import.
absl::Status CheckEngine(CoreEngine engine);

}  // namespace greenring::worker
