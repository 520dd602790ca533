// How a server is reached, and why it is not. The one header beside client.cc that knows gRPC.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/greenctl/options.h"

namespace greenring::greenctl {

// Whether `address` is one to send anything to: not another user's socket (socket_owner.h). To be asked before each
// call, as the channel connects anew when a server has ended.
absl::Status CheckServer(const std::string& address);

// A unix socket in plain text, anything else with mutual TLS. Asks who listens at a socket; connects later. Reads the
// certificates.
absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const ConnectionOptions& options);

// Why there was no answer from `address`, and what to do: kExitRefused when its socket is another user's,
// kExitUnreachable else. `message` is gRPC's own. Tries to connect to a unix socket to learn why.
absl::Status Unreachable(const std::string& address, const std::string& message);

// A server's status with its details: the violations become a payload as of control/config/field_violations.h.
absl::Status FromGrpc(int code, const std::string& message, const std::string& details);

}  // namespace greenring::greenctl
