// What a pool's message means for one of its workers.
//
//   absl::StatusOr<WorkerOptions> options = OptionsFromPool(start.pool());
//
// The master has filled in every default and checked everything; bounds are checked again, because what a worker cannot
// do it must refuse rather than die of. Plain functions; thread-safe; never park.
#pragma once

#include "absl/status/statusor.h"
#include "greenring/control/v1/pool.pb.h"
#include "protocol/wire_protocol.h"
#include "worker/options.h"

namespace greenring::worker {

// INVALID_ARGUMENT names the field. addresses is empty: a worker is given its sockets.
absl::StatusOr<WorkerOptions> OptionsFromPool(const control::v1::Pool& pool);

// What is spoken on a listener; UNSPECIFIED is HTTP.
protocol::WireProtocol WireProtocolOf(control::v1::Listener::Protocol protocol);

}  // namespace greenring::worker
