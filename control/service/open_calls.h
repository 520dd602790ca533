// Every call that has not ended: what keeps it alive, and how all of them end when the server stops.
//
// A call begins on one of gRPC's threads, is answered on the reactor's, and may be given up by its client at any time
// in between; that is why this is the one place of the services with a lock. Thread-safe; never blocks on anything
// else.
#pragma once

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "grpcpp/support/status.h"

namespace greenring::control {

class OpenCall {
 public:
  virtual ~OpenCall() = default;

  // Ends the call with `status` if it has not ended. Thread-safe.
  virtual void Abort(const grpc::Status& status) = 0;
};

class OpenCalls {
 public:
  // Keeps `call` until Remove. After AbortAll it is aborted at once.
  void Add(std::shared_ptr<OpenCall> call) ABSL_LOCKS_EXCLUDED(mutex_);

  // gRPC has done with it.
  void Remove(OpenCall* call) ABSL_LOCKS_EXCLUDED(mutex_);

  // Every call, and each that comes from now on, ends with UNAVAILABLE.
  void AbortAll() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  absl::Mutex mutex_;
  bool aborted_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_map<OpenCall*, std::shared_ptr<OpenCall>> calls_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace greenring::control
