#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "control/config/field_violations.h"
#include "control/config/pool_config.h"
#include "control/service/fake_control_plane.h"

namespace greenring::control {

// ---- operations and events ----

v1::Operation FakeControlPlane::Begin(const std::string& verb, const std::string& target, const Caller& caller,
                                      int steps, std::function<void()> effect) {
  RunningOperation running;
  v1::Operation& operation = running.operation;
  operation.set_name(absl::StrCat("operations/", operations_.size() + 1));
  operation.set_verb(verb);
  operation.set_target(target);
  operation.set_caller(caller.name);
  operation.set_stage("begins");
  operation.set_workers_total(steps);
  const auto pool = pools_.find(target);
  if (pool != pools_.end()) operation.set_generation(pool->second.generation());
  FillTime(operation.mutable_create_time());
  running.effect = std::move(effect);
  operations_.push_back(running);
  EmitFor(v1::Event::OPERATION_STARTED, operation.name(), absl::StrCat(verb, " ", target));
  Tell(operation);
  return operation;
}

absl::StatusOr<v1::Operation> FakeControlPlane::BeginOnPool(const std::string& verb, const std::string& name,
                                                            const Caller& caller, std::function<void()> effect) {
  const auto pool = pools_.find(name);
  if (pool == pools_.end()) return absl::NotFoundError(absl::StrCat("there is no ", name));
  changes_.push_back(absl::StrCat(verb, " ", name, ": ", caller.name));
  return Begin(verb, name, caller, pool->second.workers(), std::move(effect));
}

void FakeControlPlane::Tell(const v1::Operation& operation) {
  for (Observer* observer : observers_) observer->OnOperation(operation);
}

void FakeControlPlane::End(RunningOperation* running) {
  v1::Operation& operation = running->operation;
  operation.set_done(true);
  operation.clear_stage();
  FillTime(operation.mutable_end_time());
  EmitFor(operation.has_error() ? v1::Event::OPERATION_FAILED : v1::Event::OPERATION_DONE, operation.name(),
          absl::StrCat(operation.verb(), " ", operation.target()));
  Tell(operation);
}

void FakeControlPlane::StepOperations() {
  for (size_t i = 0; i < operations_.size(); ++i) {
    v1::Operation& operation = operations_[i].operation;
    if (operation.done()) continue;
    if (operation.workers_done() < operation.workers_total()) {
      operation.set_workers_done(operation.workers_done() + 1);
      operation.set_stage(absl::StrCat("worker ", operation.workers_done(), " of ", operation.workers_total()));
      Tell(operation);
      continue;
    }
    if (operations_[i].effect) operations_[i].effect();
    End(&operations_[i]);
  }
}

void FakeControlPlane::FailOperation(const std::string& name, const absl::Status& error) {
  for (RunningOperation& running : operations_) {
    if (running.operation.name() != name) continue;
    running.operation.mutable_error()->set_code(static_cast<int>(error.code()));
    running.operation.mutable_error()->set_message(std::string(error.message()));
    End(&running);
  }
}

void FakeControlPlane::EmitFor(v1::Event::Kind kind, const std::string& resource, const std::string& message) {
  v1::Event event;
  event.set_kind(kind);
  event.set_severity(kind == v1::Event::OPERATION_FAILED ? v1::Event::ERROR : v1::Event::INFO);
  event.set_resource(resource);
  event.set_message(message);
  Emit(std::move(event));
}

void FakeControlPlane::Emit(v1::Event event) {
  event.set_id(static_cast<int64_t>(events_.size()) + 1);
  FillTime(event.mutable_time());
  events_.push_back(event);
  for (Observer* observer : observers_) observer->OnEvent(event);
}

void FakeControlPlane::EmitEvents(int count) {
  for (int i = 0; i < count; ++i) EmitFor(v1::Event::WORKER_READY, "pools/web/workers/1", "one more");
}

std::vector<v1::Event> FakeControlPlane::EventsAfter(int64_t id) {
  const size_t skipped = std::min(static_cast<size_t>(std::max<int64_t>(id, 0)), events_.size());
  return {events_.begin() + static_cast<std::ptrdiff_t>(skipped), events_.end()};
}

std::vector<v1::Operation> FakeControlPlane::ListOperations() {
  std::vector<v1::Operation> operations;
  for (const RunningOperation& running : operations_) operations.push_back(running.operation);
  std::reverse(operations.begin(), operations.end());
  return operations;
}

absl::StatusOr<v1::Operation> FakeControlPlane::GetOperation(const std::string& name) {
  for (const RunningOperation& running : operations_) {
    if (running.operation.name() == name) return running.operation;
  }
  return absl::NotFoundError(absl::StrCat("there is no ", name));
}

absl::StatusOr<v1::Operation> FakeControlPlane::CancelOperation(const std::string& name, const Caller& caller) {
  absl::StatusOr<v1::Operation> operation = GetOperation(name);
  if (!operation.ok()) return operation;
  if (operation->done()) return absl::FailedPreconditionError(absl::StrCat(name, " is done"));
  changes_.push_back(absl::StrCat("cancel ", name, ": ", caller.name));
  FailOperation(name, absl::CancelledError(absl::StrCat("cancelled by ", caller.name)));
  return GetOperation(name);
}

// ---- pools ----

std::vector<v1::Pool> FakeControlPlane::ListPools() {
  std::vector<v1::Pool> pools;
  for (const auto& [name, pool] : pools_) pools.push_back(pool);
  return pools;
}

absl::StatusOr<v1::Pool> FakeControlPlane::GetPool(const std::string& name) {
  const auto pool = pools_.find(name);
  if (pool == pools_.end()) return absl::NotFoundError(absl::StrCat("there is no ", name));
  return pool->second;
}

absl::StatusOr<v1::Operation> FakeControlPlane::CreatePool(const v1::CreatePoolRequest& request, const Caller& caller) {
  const std::string name = absl::StrCat("pools/", request.pool_id());
  if (pools_.count(name) != 0) return absl::AlreadyExistsError(absl::StrCat(name, " exists"));
  v1::Pool pool = request.pool();
  pool.set_name(name);
  const absl::Status valid = ToStatus(Validate(pool), "pool.");
  if (!valid.ok()) return valid;
  v1::Operation done;
  done.set_done(true);
  if (request.validate_only()) return done;
  AddPool(std::move(pool));
  EmitFor(v1::Event::POOL_CREATED, name, "created");
  pools_.at(name).mutable_status()->set_state(v1::PoolStatus::STARTING);
  pools_.at(name).mutable_status()->set_workers_ready(0);
  return BeginOnPool("create", name, caller, [this, name] {
    Settle(name);
    EmitFor(v1::Event::POOL_READY, name, "ready");
  });
}

absl::StatusOr<v1::Operation> FakeControlPlane::UpdatePool(const v1::UpdatePoolRequest& request, const Caller& caller) {
  const std::string name = request.pool().name();
  const auto found = pools_.find(name);
  if (found == pools_.end() && request.allow_missing()) {
    v1::CreatePoolRequest create;
    create.set_pool_id(std::string(absl::StripPrefix(name, "pools/")));
    *create.mutable_pool() = request.pool();
    create.set_validate_only(request.validate_only());
    return CreatePool(create, caller);
  }
  if (found == pools_.end()) return absl::NotFoundError(absl::StrCat("there is no ", name));
  if (!request.pool().etag().empty() && request.pool().etag() != found->second.etag()) {
    return absl::AbortedError(absl::StrCat(name, " has changed meanwhile: get it again"));
  }
  absl::StatusOr<v1::Pool> changed = Merge(found->second, request.pool(), request.update_mask());
  if (!changed.ok()) return changed.status();
  const absl::Status valid = ToStatus(Validate(*changed), "pool.");
  if (!valid.ok()) return valid;
  v1::Operation done;
  done.set_done(true);
  if (request.validate_only()) return done;
  v1::Pool& pool = found->second;
  FillDefaults(&*changed);
  pool = *std::move(changed);
  pool.set_generation(pool.generation() + 1);
  pool.set_etag(EtagOf(pool));
  FillTime(pool.mutable_update_time());
  pool.mutable_status()->set_state(v1::PoolStatus::RECONCILING);
  EmitFor(v1::Event::POOL_UPDATED, name, absl::StrCat("generation ", pool.generation()));
  return BeginOnPool("update", name, caller, [this, name] { Settle(name); });
}

absl::StatusOr<v1::Operation> FakeControlPlane::DeletePool(const v1::DeletePoolRequest& request, const Caller& caller) {
  if (request.allow_missing() && pools_.count(request.name()) == 0) {
    v1::Operation done;
    done.set_done(true);
    return done;
  }
  const std::string name = request.name();
  return BeginOnPool("delete", name, caller, [this, name] {
    pools_.erase(name);
    const auto within = [&name](const auto& item) { return IsWithin(item.name(), name); };
    workers_.erase(std::remove_if(workers_.begin(), workers_.end(), within), workers_.end());
    requests_.erase(std::remove_if(requests_.begin(), requests_.end(), within), requests_.end());
    EmitFor(v1::Event::POOL_DELETED, name, "deleted");
  });
}

absl::StatusOr<v1::Operation> FakeControlPlane::ReloadPool(const std::string& name, const Caller& caller) {
  return BeginOnPool("reload", name, caller, nullptr);
}

absl::StatusOr<v1::Operation> FakeControlPlane::DrainPool(const std::string& name, const Caller& caller) {
  return BeginOnPool("drain", name, caller, [this, name] {
    pools_.at(name).set_drained(true);
    Settle(name);
    EmitFor(v1::Event::POOL_DRAINED, name, "drained");
  });
}

absl::StatusOr<v1::Operation> FakeControlPlane::ResumePool(const std::string& name, const Caller& caller) {
  return BeginOnPool("resume", name, caller, [this, name] {
    pools_.at(name).set_drained(false);
    Settle(name);
    EmitFor(v1::Event::POOL_READY, name, "ready");
  });
}

}  // namespace greenring::control
