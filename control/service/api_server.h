// The gRPC API on its addresses: a unix socket for the server's own user and root, and TCP for those who have a
// certificate.
//
//   auto api = ApiServer::Start(configuration.control(), &reactor, plane, log);
//   reactor.Run();
//   (*api)->Shutdown();
//
// gRPC has a few threads of its own (at most 16 for calls, 8 for reflection), whatever the number of calls that wait:
// these queue for the reactor and are answered from there. Start, Shutdown and the destructor: on the reactor's thread,
// or while it does not run. The log is written on the reactor's thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/control_plane.h"
#include "control/reactor.h"
#include "control/service/call_log.h"
#include "greenring/control/v1/config.pb.h"

namespace greenring::control {

class ApiServer {
 public:
  // Listens on each of `control.addresses`, whose default is filled in already (pool_config.h). `reactor`, `plane` and
  // `log` must outlive it. Errors, in words, say what to change: an address that another server has, a TCP address
  // without all three TLS files or with one that cannot be used.
  static absl::StatusOr<std::unique_ptr<ApiServer>> Start(const v1::Control& control, Reactor* reactor,
                                                          ControlPlane* plane, CallLog* log);

  // As they are listened on, with the port that the system chose.
  virtual std::vector<std::string> addresses() const = 0;

  // Accepts no more; streams and calls that wait end with UNAVAILABLE. Blocks until all have ended, at most about two
  // seconds. The second time it does nothing.
  virtual void Shutdown() = 0;

  // Shutdown, if it was not called.
  virtual ~ApiServer() = default;
};

}  // namespace greenring::control
