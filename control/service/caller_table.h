// Who is behind a call: for the log, and for operations and events.
//
// gRPC knows a connection of the unix socket as "fd:N"; who connected was asked of the kernel when it was accepted. Of
// a TLS connection the certificate says it. Thread-safe; never blocks.
#pragma once

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "control/caller.h"

namespace grpc {
class ServerContextBase;
}  // namespace grpc

namespace greenring::control {

class CallerTable {
 public:
  // The connection on descriptor `fd` is from `caller`; it replaces what was said of an earlier one with that number.
  void Accepted(int fd, Caller caller) ABSL_LOCKS_EXCLUDED(mutex_);

  // "uid 1000 (alice), pid 4711", "CN=deploy, 192.0.2.7:50312"; the address when there is nothing better.
  Caller Of(const grpc::ServerContextBase& context) const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<std::string, Caller> by_peer_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace greenring::control
