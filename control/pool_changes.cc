// How a pool is changed: what an operator, a file or a signal asks of it.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "control/pool_runner.h"
#include "google/protobuf/util/time_util.h"

namespace greenring::control {
namespace {

constexpr const char* kDeleting = "is being deleted";

}  // namespace

v1::Operation PoolRunner::Begin(const std::string& verb, const std::string& target, const Caller& caller,
                                Pending pending) {
  const v1::Operation operation = environment_.operations->Start(verb, target, caller, pending.generation);
  pending.operation = operation.name();
  pending_.push_back(std::move(pending));
  return operation;
}

v1::Operation PoolRunner::Create(const Caller& caller) {
  const v1::Operation operation =
      Begin("create", name(), caller, {.waits = Waits::kForConvergence, .generation = desired_.generation()});
  Check();
  return operation;
}

// Why a change cannot begin now. LIVE changes and a reload do not disturb each other; whatever can be rolled back
// excludes everything that would be lost with it.
absl::Status PoolRunner::ExcludedBy(bool live_change) const {
  if (deleting_) return absl::FailedPreconditionError(absl::StrCat(name(), " ", kDeleting));
  if (stopping_) return absl::FailedPreconditionError("the server is stopping");
  const std::string* operation = nullptr;
  if (trial_.has_value()) operation = &trial_->operation;
  if (rollout_.has_value() && (!live_change || rollout_->previous.has_value())) operation = &rollout_->operation;
  if (operation == nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(*operation, " is changing ", name(), ": wait for it, or cancel it"));
}

absl::Status PoolRunner::AdmitUpdate(const v1::Pool& to, const v1::Canary* canary) const {
  const absl::Status excluded = ExcludedBy(KindOfChange(desired_, to) != ChangeKind::kStart);
  if (!excluded.ok() || canary == nullptr) return excluded;
  if (rollout_.has_value() || !pending_.empty()) {
    const std::string& operation = rollout_.has_value() ? rollout_->operation : pending_.front().operation;
    return absl::FailedPreconditionError(
        absl::StrCat(operation, " is changing ", name(), ": a canary has to be compared with what stays the same"));
  }
  if (workers_.CountReady() == 0) {
    return absl::FailedPreconditionError(absl::StrCat(name(), " has no worker that is ready to try the change"));
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Operation> PoolRunner::Update(v1::Pool to, const v1::Canary* canary, const Caller& caller) {
  const ChangeKind kind = KindOfChange(desired_, to);
  to.set_drained(desired_.drained());  // Drain and Resume change that
  const v1::Pool previous = desired_;
  if (kind != ChangeKind::kNone) {
    const absl::Status bound =
        sockets_.Bind(to, kind == ChangeKind::kStart ? &desired_ : nullptr, std::max(sockets_.slots(), to.workers()));
    if (!bound.ok()) return bound;
  }
  if (kind != ChangeKind::kNone) {
    to.set_generation(desired_.generation() + 1);
    SetDesired(std::move(to));
    host_->OnRoutingChanged();
  }
  Pending pending = {.waits = desired_.drained() ? Waits::kForDrain : Waits::kForConvergence,
                     .generation = desired_.generation()};
  if (kind == ChangeKind::kLive && !desired_.drained()) pending.previous = previous;
  if (kind == ChangeKind::kStart) {
    const int64_t previous_epoch = std::exchange(epoch_, ++last_epoch_);
    pending.epoch = epoch_;
    // Where nothing serves there is nothing to go back to: it is tried again with what is desired.
    if (workers_.CountReady() > 0 && !desired_.drained()) {
      rollout_ = Rollout{.operation = "", .previous_epoch = previous_epoch, .previous = previous};
    }
    workers_.ForgetFailures();
  }
  if (desired_.drained()) pending.workers_total = static_cast<int>(workers_.All().size());
  const v1::Operation operation = Begin("update", name(), caller, std::move(pending));
  if (rollout_.has_value() && rollout_->operation.empty()) rollout_->operation = operation.name();
  if (canary != nullptr) BeginTrial(*canary, previous, operation.name());
  SetTarget(absl::StrCat("update to generation ", desired_.generation()));
  if (kind == ChangeKind::kLive) workers_.ApplyToAll();
  Act(workers_.target().reason);
  return environment_.operations->Get(operation.name());
}

void PoolRunner::BeginTrial(const v1::Canary& canary, v1::Pool previous, const std::string& operation) {
  trial_.emplace(Trial{.operation = operation,
                       .previous = std::move(previous),
                       .canary = CanaryTrial(canary, desired_.generation()),
                       .end = nullptr});
  for (const SupervisedWorker* worker : workers_.All()) trial_->canary.Baseline(worker->name(), worker->report());
  const google::protobuf::Duration& duration = trial_->canary.canary().duration();
  trial_->end = environment_.workers.worker.timers->After(
      google::protobuf::util::TimeUtil::DurationToNanoseconds(duration), [this] { PromoteTrial(); });
}

absl::StatusOr<v1::Operation> PoolRunner::Reload(const Caller& caller) {
  if (const absl::Status excluded = ExcludedBy(/*live_change=*/false); !excluded.ok()) return excluded;
  if (desired_.drained()) {
    return absl::FailedPreconditionError(absl::StrCat(name(), " is drained: when it resumes, it has the new code"));
  }
  const int64_t previous_epoch = std::exchange(epoch_, ++last_epoch_);
  const v1::Operation operation =
      Begin("reload", name(), caller,
            {.waits = Waits::kForConvergence, .generation = desired_.generation(), .epoch = epoch_});
  if (workers_.CountReady() > 0) {
    rollout_ = Rollout{.operation = operation.name(), .previous_epoch = previous_epoch, .previous = std::nullopt};
  }
  workers_.ForgetFailures();
  Act("reload");
  return environment_.operations->Get(operation.name());
}

absl::StatusOr<v1::Operation> PoolRunner::Restart(const std::string& worker_name, const Caller& caller) {
  if (const absl::Status excluded = ExcludedBy(/*live_change=*/false); !excluded.ok()) return excluded;
  const SupervisedWorker* worker = workers_.Find(worker_name);
  if (worker == nullptr) return absl::NotFoundError(absl::StrCat("there is no ", worker_name));
  if (!workers_.IsCurrent(*worker) || worker->state() != SupervisedWorker::State::kReady) {
    return absl::FailedPreconditionError(absl::StrCat(worker_name, " is not ready: it starts, or goes already"));
  }
  const int slot = worker->identity().slot;
  const v1::Operation operation =
      Begin("restart", worker_name, caller, {.waits = Waits::kForReplacement, .slot = slot, .worker = worker_name});
  workers_.Replace(slot, "restart");
  Act("restart");
  return environment_.operations->Get(operation.name());
}

v1::Operation PoolRunner::Drain(const Caller& caller) {
  AbortAll("the pool is drained");
  if (!desired_.drained()) {
    v1::Pool pool = desired_;
    pool.set_drained(true);
    pool.set_generation(pool.generation() + 1);
    SetDesired(std::move(pool));
  }
  const v1::Operation operation = Begin("drain", name(), caller,
                                        {.waits = Waits::kForDrain,
                                         .generation = desired_.generation(),
                                         .workers_total = static_cast<int>(workers_.All().size())});
  Act("drain");
  return *environment_.operations->Get(operation.name());
}

absl::StatusOr<v1::Operation> PoolRunner::Resume(const Caller& caller) {
  if (deleting_) return absl::FailedPreconditionError(absl::StrCat(name(), " ", kDeleting));
  if (stopping_) return absl::FailedPreconditionError("the server is stopping");
  if (desired_.drained()) {
    AbortAll("the pool is resumed");
    v1::Pool pool = desired_;
    pool.set_drained(false);
    pool.set_generation(pool.generation() + 1);
    SetDesired(std::move(pool));
    workers_.ForgetFailures();
  }
  const v1::Operation operation =
      Begin("resume", name(), caller, {.waits = Waits::kForConvergence, .generation = desired_.generation()});
  Act("resume");
  return environment_.operations->Get(operation.name());
}

absl::StatusOr<v1::Operation> PoolRunner::Delete(const Caller& caller) {
  if (deleting_) return absl::FailedPreconditionError(absl::StrCat(name(), " ", kDeleting, " already"));
  if (stopping_) return absl::FailedPreconditionError("the server is stopping");
  AbortAll("the pool is deleted");
  last_addresses_ = sockets_.BoundAddresses();
  deleting_ = true;
  host_->OnRoutingChanged();
  // Its clients are refused at once, instead of waiting for what will not come; unless they may be other pools'.
  if (!sockets_.IsShared()) sockets_.Close();
  const v1::Operation operation =
      Begin("delete", name(), caller,
            {.waits = Waits::kForDeletion, .workers_total = static_cast<int>(workers_.All().size())});
  Act("delete");
  return environment_.operations->Get(operation.name());
}

void PoolRunner::Stop() {
  if (stopping_) return;
  AbortAll("the server stops");
  stopping_ = true;
  sockets_.Close();
  Act("the server stops");
}

bool PoolRunner::Has(const std::string& operation) const {
  return std::any_of(pending_.begin(), pending_.end(),
                     [&](const Pending& pending) { return pending.operation == operation; });
}

absl::Status PoolRunner::Cancel(const std::string& operation, const Caller& caller) {
  const absl::Status cancelled = absl::CancelledError(absl::StrCat("cancelled by ", caller.name));
  const auto pending = std::find_if(pending_.begin(), pending_.end(),
                                    [&](const Pending& candidate) { return candidate.operation == operation; });
  if (pending == pending_.end()) return absl::NotFoundError(absl::StrCat("there is no ", operation));
  if (trial_.has_value() && trial_->operation == operation) {
    RollBackTrial(cancelled);
  } else if (rollout_.has_value() && rollout_->operation == operation) {
    AbortRollout(cancelled);
  } else if (pending->waits == Waits::kForReplacement) {
    workers_.CancelReplacement(pending->slot);
    Finish(operation, cancelled);
  } else if (pending->previous.has_value() && pending->generation == desired_.generation()) {
    GoBackTo(*pending->previous);
    Finish(operation, cancelled);
    host_->OnDesiredChanged(this);
  } else {
    return absl::FailedPreconditionError(
        absl::StrCat(operation, " cannot be undone: there is nothing to go back to, or there is a later change"));
  }
  Act("cancelled");
  return absl::OkStatus();
}

}  // namespace greenring::control
