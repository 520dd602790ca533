#include "control/operations.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace greenring::control {

Operations::Operations(Timers* timers, EventLog* events, std::function<void(const v1::Operation&)> publish)
    : timers_(timers), events_(events), publish_(std::move(publish)) {}

v1::Operation Operations::Start(const std::string& verb, const std::string& target, const Caller& caller,
                                int64_t generation) {
  v1::Operation operation;
  operation.set_name(absl::StrCat("operations/", ++last_id_));
  operation.set_verb(verb);
  operation.set_target(target);
  operation.set_caller(caller.name);
  operation.set_generation(generation);
  *operation.mutable_create_time() = timers_->WallTime();
  operations_.push_back(operation);
  ForgetOldest();
  events_->Add(v1::Event::OPERATION_STARTED, v1::Event::INFO, operation.name(), absl::StrCat(verb, " ", target),
               caller.name);
  publish_(operation);
  return operation;
}

v1::Operation Operations::Validated(const std::string& verb, const std::string& target, const Caller& caller) {
  v1::Operation operation;
  operation.set_verb(verb);
  operation.set_target(target);
  operation.set_caller(caller.name);
  operation.set_done(true);
  operation.set_stage("nothing is wrong with it; nothing was changed");
  *operation.mutable_create_time() = timers_->WallTime();
  *operation.mutable_end_time() = operation.create_time();
  return operation;
}

void Operations::Progress(const std::string& name, const Steps& steps) {
  v1::Operation* operation = Find(name);
  GREENRING_CHECK(operation != nullptr && !operation->done());
  if (operation->stage() == steps.stage && operation->workers_done() == steps.workers_done &&
      operation->workers_total() == steps.workers_total && operation->cores_done() == steps.cores_done &&
      operation->cores_total() == steps.cores_total) {
    return;
  }
  operation->set_stage(steps.stage);
  operation->set_workers_done(steps.workers_done);
  operation->set_workers_total(steps.workers_total);
  operation->set_cores_done(steps.cores_done);
  operation->set_cores_total(steps.cores_total);
  publish_(*operation);
}

void Operations::Finish(const std::string& name, const absl::Status& status) {
  v1::Operation* found = Find(name);
  GREENRING_CHECK(found != nullptr && !found->done());
  found->set_done(true);
  *found->mutable_end_time() = timers_->WallTime();
  found->set_stage(status.ok() ? "done" : "failed");
  if (!status.ok()) {
    found->mutable_error()->set_code(static_cast<int>(status.code()));
    found->mutable_error()->set_message(std::string(status.message()));
  }
  const v1::Operation operation = *found;  // whoever is told may start others
  events_->Add(status.ok() ? v1::Event::OPERATION_DONE : v1::Event::OPERATION_FAILED,
               status.ok() ? v1::Event::INFO : v1::Event::ERROR, name,
               absl::StrCat(operation.verb(), " ", operation.target(), status.ok() ? "" : ": ", status.message()),
               operation.caller());
  publish_(operation);
}

absl::StatusOr<v1::Operation> Operations::Get(const std::string& name) const {
  for (const v1::Operation& operation : operations_) {
    if (operation.name() == name) return operation;
  }
  return absl::NotFoundError(
      absl::StrCat("there is no ", name, "; the last ", kOperationsMax, " since the server's start are kept"));
}

std::vector<v1::Operation> Operations::List() const { return {operations_.rbegin(), operations_.rend()}; }

v1::Operation* Operations::Find(const std::string& name) {
  for (v1::Operation& operation : operations_) {
    if (operation.name() == name) return &operation;
  }
  return nullptr;
}

void Operations::ForgetOldest() {
  if (operations_.size() <= kOperationsMax) return;
  const auto oldest =
      std::find_if(operations_.begin(), operations_.end(), [](const v1::Operation& o) { return o.done(); });
  if (oldest != operations_.end()) operations_.erase(oldest);
}

}  // namespace greenring::control
