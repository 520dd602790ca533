// What gRPC itself has to say, as lines of the server's log: by itself it writes to stderr, in a form of its own.
//
//   GrpcLog route(&server_log);              // until it is gone
//
// One at a time in a process. gRPC writes from any of its threads: `log` must take that. How much it says is gRPC's
// (GRPC_VERBOSITY; errors only, if nothing else is asked for). Thread-safe.
#pragma once

#include "control/server_log.h"

namespace greenring::control {

class GrpcLog {
 public:
  // `log` must outlive it.
  explicit GrpcLog(const ServerLog* log);
  GrpcLog(const GrpcLog&) = delete;
  GrpcLog& operator=(const GrpcLog&) = delete;
  // Waits for who is just writing a line.
  ~GrpcLog();
};

}  // namespace greenring::control
