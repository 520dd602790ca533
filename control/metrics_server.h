// The HTTP listener for those who watch the server: /metrics for Prometheus, /livez and /readyz for whoever starts and
// stops it. It is not the pools': it answers when every core is busy, and when no worker runs.
//
//   auto metrics = MetricsServer::Start(configuration.metrics(), &reactor, plane);
//
//   GET /livez             200 as long as the master turns
//   GET /readyz            200 when every pool serves, else 503 with the reasons; ?pool=web: that one
//   GET /metrics           200, Prometheus' text format
//
// Without authentication: bind it where only they can reach it. On the reactor's thread only. Start resolves the
// address, and may block for that; nothing else does.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "control/control_plane.h"
#include "control/reactor.h"
#include "greenring/control/v1/config.pb.h"

namespace greenring::control {

struct MetricsLimits {
  int connections_max = 64;      // more are closed at once
  int idle_timeout_ms = 75'000;  // until the next request has come, and for a response to be taken
  int header_bytes_max = 8 << 10;
};

class MetricsServer {
 public:
  // Without an address there is none: null. The error names the address and the flag.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(const v1::Metrics& metrics, Reactor* reactor,
                                                              ControlPlane* plane, const MetricsLimits& limits = {});

  // As it is listened on, with the port that the system chose.
  virtual std::string address() const = 0;

  // Closes every connection.
  virtual ~MetricsServer() = default;
};

}  // namespace greenring::control
