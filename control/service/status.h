// Errors as gRPC's clients get them: the same code and text, and the payloads (field_violations.h) as google.rpc.Status
// in the trailer grpc-status-details-bin. Cut to what fits into the trailers that every client takes (8 KiB).
// Thread-safe; never blocks.
#pragma once

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace greenring::control {

grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace greenring::control
