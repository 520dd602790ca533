// What a pool looks like from outside.
#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "control/pool_runner.h"

namespace greenring::control {

using WorkerState = SupervisedWorker::State;

v1::Pool PoolRunner::Describe() const {
  v1::Pool pool = desired_;
  pool.set_etag(EtagOf(desired_));
  *pool.mutable_status() = Status();
  return pool;
}

bool PoolRunner::IsReady() const { return State() == v1::PoolStatus::READY; }

v1::PoolStatus::State PoolRunner::State() const {
  if (deleting_) return v1::PoolStatus::DELETING;
  if (desired_.drained()) return workers_.empty() ? v1::PoolStatus::DRAINED : v1::PoolStatus::RECONCILING;
  if (workers_.CountReady() == 0) {
    return workers_.start_error().empty() ? v1::PoolStatus::STARTING : v1::PoolStatus::START_FAILED;
  }
  const bool there = !stopping_ && !rollout_.has_value() && !trial_.has_value() && workers_.AllReady(epoch_) &&
                     workers_.AllRun(desired_.generation());
  return there ? v1::PoolStatus::READY : v1::PoolStatus::RECONCILING;
}

v1::PoolStatus PoolRunner::Status() const {
  v1::PoolStatus status;
  status.set_state(State());
  status.set_restarts(workers_.restarts());
  int ready = 0, starting = 0, draining = 0;
  int64_t observed = 0;
  std::map<int64_t, v1::GenerationStatus, std::greater<>> generations;
  for (const SupervisedWorker* worker : workers_.All()) {
    ready += worker->state() == WorkerState::kReady;
    starting += worker->state() == WorkerState::kStarting;
    draining += worker->state() == WorkerState::kLeaving || worker->state() == WorkerState::kDraining;
    if (worker->state() == WorkerState::kReady) {
      observed = observed == 0 ? worker->OldestGeneration() : std::min(observed, worker->OldestGeneration());
    }
    for (const v1::GenerationStatus& one : worker->Generations()) {
      v1::GenerationStatus& sum = generations[one.generation()];
      sum.set_generation(one.generation());
      sum.set_workers(sum.workers() + one.workers());
      sum.set_cores(sum.cores() + one.cores());
      sum.set_cores_busy(sum.cores_busy() + one.cores_busy());
    }
  }
  status.set_workers_ready(ready);
  status.set_workers_starting(starting);
  status.set_workers_draining(draining);
  status.set_observed_generation(observed);
  for (const auto& [generation, sum] : generations) *status.add_generations() = sum;
  if (status.state() == v1::PoolStatus::START_FAILED || !workers_.start_error().empty()) {
    status.set_message(workers_.start_error());
  } else if (status.state() != v1::PoolStatus::READY && !pending_.empty()) {
    status.set_message(absl::StrCat(pending_.front().operation, ": ", StageOf(pending_.front())));
  } else if (status.state() == v1::PoolStatus::STARTING || status.state() == v1::PoolStatus::RECONCILING) {
    status.set_message(absl::StrCat(workers_.CountReady(), " of ", desired_.workers(), " workers are ready"));
  }
  return status;
}

std::string PoolRunner::StageOf(const Pending& pending) const {
  const bool by_rollout = rollout_.has_value() && rollout_->operation == pending.operation;
  const bool by_trial = trial_.has_value() && trial_->operation == pending.operation;
  switch (pending.waits) {
    case Waits::kForConvergence:
      if (by_rollout) return "starting new workers; the old ones stay until all are ready";
      if (by_trial) return absl::StrCat("watching the canary on ", trial_->canary.canary().percent(), "% of the cores");
      if (!workers_.AllReady(pending.epoch)) return "waiting for workers to be ready";
      return "waiting for cores that are busy to take the change";
    case Waits::kForReplacement:
      return "starting the replacement";
    case Waits::kForDrain:
    case Waits::kForDeletion:
      return "waiting for requests in flight";
  }
  return "";
}

Operations::Steps PoolRunner::StepsOf(const Pending& pending) const {
  Operations::Steps steps;
  steps.stage = StageOf(pending);
  switch (pending.waits) {
    case Waits::kForConvergence: {
      const bool by_rollout = rollout_.has_value() && rollout_->operation == pending.operation;
      steps.workers_total = desired_.workers();
      steps.workers_done =
          by_rollout ? workers_.CountPrepared() : workers_.CountReadyOf(pending.epoch, pending.generation);
      for (const SupervisedWorker* worker : workers_.All()) {
        if (worker->state() != WorkerState::kReady) continue;
        for (const v1::GenerationStatus& status : worker->Generations()) {
          steps.cores_total += status.cores();
          if (status.generation() >= pending.generation) steps.cores_done += status.cores();
        }
      }
      break;
    }
    case Waits::kForReplacement:
      steps.workers_total = 1;
      steps.workers_done = IsDone(pending) ? 1 : 0;
      break;
    case Waits::kForDrain:
    case Waits::kForDeletion:
      steps.workers_total = pending.workers_total;
      steps.workers_done = std::max(0, pending.workers_total - static_cast<int>(workers_.All().size()));
      break;
  }
  return steps;
}

}  // namespace greenring::control
