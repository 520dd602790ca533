#include "control/pool_runner.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace greenring::control {

PoolRunner::PoolRunner(const Environment& environment, v1::Pool pool, Host* host)
    : environment_(environment),
      host_(host),
      desired_(std::move(pool)),
      sockets_(environment.sockets, desired_.name()),
      workers_(environment.workers, desired_.name(), &sockets_, this),
      uwsgi_({.timers = environment.workers.worker.timers,
              .events = environment.workers.worker.events,
              .pool = desired_.name(),
              .workers = &workers_},
             this) {
  if (desired_.generation() == 0) desired_.set_generation(1);
  const google::protobuf::Timestamp now = environment_.workers.worker.timers->WallTime();
  if (!desired_.has_create_time()) *desired_.mutable_create_time() = now;
  if (!desired_.has_update_time()) *desired_.mutable_update_time() = now;
}

absl::Status PoolRunner::Bind() { return sockets_.Bind(desired_, nullptr, desired_.workers()); }

void PoolRunner::Begin() { Act("start"); }

RoutedPool PoolRunner::Routed() const {
  return {.name = name(),
          .routes = {desired_.routes().begin(), desired_.routes().end()},
          .addresses = deleting_ ? last_addresses_ : sockets_.BoundAddresses(),
          .deleting = deleting_};
}

const v1::Pool& PoolRunner::durable() const {
  if (trial_.has_value()) return trial_->previous;
  if (rollout_.has_value() && rollout_->previous.has_value()) return *rollout_->previous;
  return desired_;
}

void PoolRunner::SetDesired(v1::Pool pool) {
  desired_ = std::move(pool);
  *desired_.mutable_update_time() = environment_.workers.worker.timers->WallTime();
}

void PoolRunner::SetTarget(const std::string& reason) {
  WorkerSet::Target& target = workers_.target();
  target.serving = !desired_.drained() && !deleting_ && !stopping_;
  target.leaves_first = sockets_.IsShared();
  target.slots = desired_.workers();
  target.epoch = epoch_;
  target.swap_together = rollout_.has_value();
  target.start = trial_.has_value() ? trial_->previous : desired_;
  target.live = desired_;
  target.canary_percent = trial_.has_value() ? trial_->canary.canary().percent() : 0;
  target.reason = reason;
}

void PoolRunner::Act(const std::string& reason) {
  SetTarget(reason);
  workers_.Reconcile();
  Check();
}

// ---- how changes end ----

void PoolRunner::CommitRollout() {
  const bool changed = rollout_->previous.has_value();
  rollout_.reset();
  SetTarget(workers_.target().reason);
  if (changed) host_->OnDesiredChanged(this);
}

void PoolRunner::AbortRollout(const absl::Status& status) {
  const Rollout rollout = *std::exchange(rollout_, std::nullopt);
  epoch_ = rollout.previous_epoch;
  if (rollout.previous.has_value()) GoBackTo(*rollout.previous);
  SetTarget(rollout.previous.has_value() ? "rolled back" : "the reload was aborted");
  workers_.ForgetFailures();
  workers_.Retreat(workers_.target().reason, /*replace_newer=*/rollout.previous.has_value());
  Finish(rollout.operation, status);
  if (rollout.previous.has_value()) host_->OnDesiredChanged(this);
}

void PoolRunner::PromoteTrial() {
  for (const SupervisedWorker* worker : workers_.All()) trial_->canary.Observe(worker->name(), worker->report());
  const CanaryTrial::Verdict verdict = trial_->canary.Judge(/*at_end=*/true);
  if (verdict.worse) {
    RollBackTrial(absl::AbortedError("the canary did worse"));
    return Act("the canary was rolled back");
  }
  trial_.reset();
  environment_.workers.worker.events->Add(v1::Event::POOL_UPDATED, v1::Event::INFO, name(),
                                          absl::StrCat("the canary passed: ", verdict.numbers));
  SetTarget("update");
  workers_.ApplyToAll();
  host_->OnDesiredChanged(this);
  Act("update");
}

void PoolRunner::RollBackTrial(const absl::Status& status) {
  const std::string numbers = trial_->canary.Judge(/*at_end=*/true).numbers;
  const std::string operation = trial_->operation;
  v1::Pool previous = std::move(trial_->previous);
  trial_.reset();
  GoBackTo(std::move(previous));
  const std::string why =
      absl::StrCat(status.message(), ": ", numbers, "; rolled back with generation ", desired_.generation());
  environment_.workers.worker.events->Add(v1::Event::CANARY_ROLLED_BACK, v1::Event::WARNING, name(), why);
  Finish(operation, absl::Status(status.code(), why));
  host_->OnDesiredChanged(this);
}

// The old configuration is a new generation: numbers only grow, and every worker can tell that it runs it.
void PoolRunner::GoBackTo(v1::Pool previous) {
  previous.set_generation(desired_.generation() + 1);
  // All of them are bound already; what is not needed any more goes with ShrinkSockets.
  sockets_.Bind(previous, &desired_, std::max(sockets_.slots(), previous.workers())).IgnoreError();
  SetDesired(std::move(previous));
  host_->OnRoutingChanged();
  SetTarget("rolled back");
  workers_.ApplyToAll();
}

void PoolRunner::AbortAll(const std::string& why) {
  const absl::Status status = absl::AbortedError(why);
  if (trial_.has_value()) RollBackTrial(status);
  if (rollout_.has_value()) AbortRollout(status);
  while (!pending_.empty()) Finish(pending_.front().operation, status);
}

// By value: the operation may be that of a Pending, which goes.
void PoolRunner::Finish(std::string operation, const absl::Status& status) {
  std::erase_if(pending_, [&](const Pending& pending) { return pending.operation == operation; });
  environment_.operations->Finish(operation, status);
}

// ---- what workers tell ----

void PoolRunner::OnStartFailed(const SupervisedWorker& worker, bool successor) {
  if (rollout_.has_value() && worker.identity().epoch == epoch_) {
    return AbortRollout(absl::AbortedError(
        absl::StrCat(worker.name(), " could not be started, so the old workers stay: ", worker.end_reason())));
  }
  if (successor) {
    const auto pending = std::find_if(pending_.begin(), pending_.end(), [&](const Pending& candidate) {
      return candidate.waits == Waits::kForReplacement && candidate.slot == worker.identity().slot;
    });
    if (pending == pending_.end()) return;  // it is tried again
    workers_.CancelReplacement(pending->slot);
    return Finish(pending->operation, absl::AbortedError(absl::StrCat("its replacement ", worker.name(),
                                                                      " could not be started: ", worker.end_reason())));
  }
  if (workers_.CountReady() > 0) return;
  // The pool goes on trying. Whoever waits is told what is wrong.
  const absl::Status status = absl::FailedPreconditionError(
      absl::StrCat("no worker can be started (it is tried again): ", workers_.start_error()));
  if (trial_.has_value()) RollBackTrial(status);
  if (rollout_.has_value()) AbortRollout(status);
  for (size_t i = pending_.size(); i-- > 0;) {
    if (pending_[i].waits == Waits::kForConvergence) Finish(pending_[i].operation, status);
  }
}

void PoolRunner::OnDied(const SupervisedWorker& worker) {
  const std::string what = absl::StrCat(worker.name(), " died: ", worker.end_reason());
  if (trial_.has_value()) {
    RollBackTrial(absl::AbortedError(what));
  } else if (rollout_.has_value() && worker.identity().epoch == epoch_) {
    AbortRollout(absl::AbortedError(absl::StrCat(what, ", so the old workers stay")));
  }
}

// Whatever came after the first change that is still on its way was built upon it: all of them go back.
void PoolRunner::OnApplyRefused(const SupervisedWorker& worker, int64_t generation, const std::string& why) {
  const std::string what = absl::StrCat(worker.name(), " refused generation ", generation, ": ", why);
  if (trial_.has_value()) return RollBackTrial(absl::FailedPreconditionError(what));
  const auto first = std::find_if(pending_.begin(), pending_.end(),
                                  [](const Pending& pending) { return pending.previous.has_value(); });
  if (first == pending_.end()) {
    // Nobody waits for it, or it was a rollback itself: one that starts with what is desired takes its place.
    if (workers_.IsCurrent(worker)) workers_.Replace(worker.identity().slot, what);
    return environment_.workers.worker.events->Add(v1::Event::POOL_UPDATED, v1::Event::ERROR, name(), what);
  }
  GoBackTo(*first->previous);
  const absl::Status status =
      absl::FailedPreconditionError(absl::StrCat(what, "; rolled back with generation ", desired_.generation()));
  for (size_t i = pending_.size(); i-- > 0;) {
    if (pending_[i].previous.has_value()) Finish(pending_[i].operation, status);
  }
  host_->OnDesiredChanged(this);
}

void PoolRunner::OnWorkersChanged() { Check(); }

// ---- what follows from it ----

void PoolRunner::Check() {
  CheckTrial();
  if (rollout_.has_value() && workers_.AllReady(epoch_)) CommitRollout();
  ShrinkSockets();
  CloseWhenLeft();
  CheckOperations();
  Announce();
  host_->OnPoolChanged(this);
}

void PoolRunner::CheckTrial() {
  if (!trial_.has_value()) return;
  for (const SupervisedWorker* worker : workers_.All()) trial_->canary.Observe(worker->name(), worker->report());
  if (!trial_->canary.Judge(/*at_end=*/false).worse) return;
  RollBackTrial(absl::AbortedError("the canary did clearly worse"));
  workers_.Reconcile();
}

void PoolRunner::ShrinkSockets() {
  if (deleting_ || stopping_ || rollout_.has_value() || workers_.AnyAcceptsAbove(desired_.workers()) ||
      sockets_.Matches(desired_, desired_.workers())) {
    return;
  }
  const absl::Status status = sockets_.Bind(desired_, nullptr, desired_.workers());
  if (status.ok()) {
    host_->OnRoutingChanged();
    return workers_.Reconcile();
  }
  environment_.workers.worker.events->Add(v1::Event::POOL_UPDATED, v1::Event::ERROR, name(),
                                          absl::StrCat("listening sockets: ", status.message()));
}

// What waits in a deleted pool's sockets may be other pools', who have the address, too: its workers have accepted that
// first.
void PoolRunner::CloseWhenLeft() {
  if (deleting_ && !workers_.AnyAcceptsAbove(0)) sockets_.Close();
}

bool PoolRunner::IsDone(const Pending& pending) const {
  switch (pending.waits) {
    case Waits::kForConvergence:
      return !trial_.has_value() && workers_.AllReady(pending.epoch) && workers_.AllRun(pending.generation) &&
             !workers_.AnyAcceptsAbove(desired_.workers());
    case Waits::kForReplacement: {
      const SupervisedWorker* current = workers_.Current(pending.slot);
      if (current == nullptr) return pending.slot > desired_.workers();  // the slot has gone, and the worker with it
      return current->name() != pending.worker && current->state() == SupervisedWorker::State::kReady;
    }
    case Waits::kForDrain:
    case Waits::kForDeletion:
      return workers_.empty();
  }
  return false;
}

void PoolRunner::CheckOperations() {
  for (size_t i = 0; i < pending_.size();) {
    environment_.operations->Progress(pending_[i].operation, StepsOf(pending_[i]));
    if (IsDone(pending_[i])) {
      Finish(pending_[i].operation, absl::OkStatus());
    } else {
      ++i;
    }
  }
}

void PoolRunner::Announce() {
  const v1::PoolStatus::State state = State();
  if (state == announced_) return;
  EventLog* events = environment_.workers.worker.events;
  switch (state) {
    case v1::PoolStatus::READY:
      events->Add(v1::Event::POOL_READY, v1::Event::INFO, name(),
                  absl::StrCat(desired_.workers(), " workers are ready"));
      break;
    case v1::PoolStatus::START_FAILED:
      events->Add(v1::Event::POOL_START_FAILED, v1::Event::ERROR, name(), workers_.start_error());
      break;
    case v1::PoolStatus::DRAINED:
      events->Add(v1::Event::POOL_DRAINED, v1::Event::INFO, name(), "its workers are gone; connections wait");
      break;
    default:
      return;  // on the way to one of those
  }
  announced_ = state;
}

}  // namespace greenring::control
