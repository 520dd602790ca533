// The sockets that a worker serves on, by its options.
//
//   absl::StatusOr<std::vector<std::unique_ptr<ioloop::Listener>>> listeners = OpenListeners(options);
//
// Before the loop runs.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "ioloop/listener.h"
#include "pyhost/environ.h"
#include "worker/options.h"

namespace greenring::worker {

// Bound and listening, in the order of the addresses. The error names the flag and the address. Blocks for a second at
// most, where an address is in use.
absl::StatusOr<std::vector<std::unique_ptr<ioloop::Listener>>> OpenListeners(const WorkerOptions& options);

// Those of a master, which stay open when a worker ends; in their order.
absl::StatusOr<std::vector<std::unique_ptr<ioloop::Listener>>> AdoptListeners(std::vector<UniqueFd> sockets);

// What its requests are told of it: SERVER_NAME and SERVER_PORT.
pyhost::ListenerInfo InfoOf(const ioloop::Listener& listener);

}  // namespace greenring::worker
