// The operations: what takes long, from the moment it was asked for. The last 1000 are kept, and all that are not done.
//
//   v1::Operation operation = operations.Start("reload", "pools/web", caller, 0);
//   operations.Progress(operation.name(), {.stage = "starting new workers", .workers_total = 4});
//   operations.Finish(operation.name(), absl::OkStatus());
//
// Every change is published. Names are "operations/1", "operations/2", ... since the server's start. On the reactor's
// thread only; nothing blocks.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/caller.h"
#include "control/event_log.h"
#include "control/timers.h"
#include "greenring/control/v1/operation_service.pb.h"

namespace greenring::control {

class Operations {
 public:
  static constexpr size_t kOperationsMax = 1000;

  struct Steps {
    std::string stage;
    int workers_done = 0;
    int workers_total = 0;
    int cores_done = 0;
    int cores_total = 0;
  };

  Operations(Timers* timers, EventLog* events, std::function<void(const v1::Operation&)> publish);

  v1::Operation Start(const std::string& verb, const std::string& target, const Caller& caller, int64_t generation);

  // One that is done at once, and has no name: what validate_only returns.
  v1::Operation Validated(const std::string& verb, const std::string& target, const Caller& caller);

  // How far it is. Nothing is published when nothing has changed. Precondition for both: it is there, and not done.
  void Progress(const std::string& name, const Steps& steps);
  void Finish(const std::string& name, const absl::Status& status);

  absl::StatusOr<v1::Operation> Get(const std::string& name) const;
  std::vector<v1::Operation> List() const;  // newest first

 private:
  v1::Operation* Find(const std::string& name);
  void ForgetOldest();

  Timers* const timers_;
  EventLog* const events_;
  const std::function<void(const v1::Operation&)> publish_;
  std::deque<v1::Operation> operations_;  // oldest first
  int64_t last_id_ = 0;
};

}  // namespace greenring::control
