// The sockets that a worker serves on, by its options.
//
//   absl::StatusOr<std::vector<WorkerListener>> listeners = OpenListeners(options);
//
// Before the loop runs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ioloop/listener.h"
#include "protocol/wire_protocol.h"
#include "pyhost/environ.h"
#include "worker/master_start.h"
#include "worker/options.h"

namespace greenring::worker {

struct WorkerListener {
  std::unique_ptr<ioloop::Listener> socket;
  protocol::WireProtocol protocol = protocol::WireProtocol::kHttp;

  // As the operator is told: "http://127.0.0.1:8080", "uwsgi://127.0.0.1:3031", "unix:/run/shop".
  std::string Description() const;
};

// Bound and listening, in the order of the addresses. The error names the flag and the address. Blocks for a second at
// most, where an address is in use.
absl::StatusOr<std::vector<WorkerListener>> OpenListeners(const WorkerOptions& options);

// Those that a master has sent, which stay open when a worker ends; in their order. Takes them out of `master`.
absl::StatusOr<std::vector<WorkerListener>> AdoptListeners(MasterStart* master);

// What its requests are told of it: SERVER_NAME and SERVER_PORT.
pyhost::ListenerInfo InfoOf(const WorkerListener& listener);

}  // namespace greenring::worker
