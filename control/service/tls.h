// Mutual TLS: the server shows its certificate, and takes only clients that have one of its certificate authority.
// Blocks on the disk.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "greenring/control/v1/config.pb.h"
#include "grpcpp/security/server_credentials.h"

namespace greenring::control {

// INVALID_ARGUMENT unless all three files are named, can be read and have what they should.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MutualTls(const v1::Control& control);

}  // namespace greenring::control
