#include "worker/master_handler.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "pyhost/gil.h"
#include "worker/hub_core.h"
#include "worker/pool_options.h"

namespace greenring::worker {

absl::Status MasterHandler::Apply(const v1::ToWorker::Apply& apply) {
  const absl::StatusOr<WorkerOptions> options = OptionsFromPool(apply.pool());
  if (!options.ok()) return options.status();
  if (apply.canary_percent() < 0 || apply.canary_percent() > 99) {
    return absl::InvalidArgumentError(
        absl::StrCat("canary_percent: must be from 0 to 99, not ", apply.canary_percent()));
  }
  if (parts_.service->draining()) return absl::FailedPreconditionError("this worker drains");
  if (HasHub(options->cores.engine)) {
    const pyhost::ScopedPythonThread python;
    const absl::Status available = CheckEngine(options->cores.engine);
    if (!available.ok()) return available;
  }
  parts_.apply(*options, apply.pool().generation(), apply.canary_percent());
  return absl::OkStatus();
}

absl::Status MasterHandler::ListRequests(const v1::ToWorker::ListRequests& question,
                                         v1::FromWorker::RequestList* answer) {
  parts_.requests->List(question.age_min_ns(), question.count_max(), answer->mutable_requests());
  return absl::OkStatus();
}

absl::Status MasterHandler::GetStack(const v1::ToWorker::GetStack& question, v1::FromWorker::StackText* answer) {
  const pyhost::ScopedPythonThread python;  // may wait for the GIL: who was asked for may have ended since
  absl::StatusOr<control::v1::Stack> stack = parts_.requests->Stack(question.request());
  if (!stack.ok()) return stack.status();
  answer->mutable_request()->Swap(stack->mutable_request());
  answer->set_python(stack->python());
  return absl::OkStatus();
}

absl::Status MasterHandler::CancelRequest(const v1::ToWorker::CancelRequest& cancel) {
  return parts_.requests->Cancel(cancel.request(), cancel.reason());
}

absl::Status MasterHandler::StopAccepting(const v1::ToWorker::StopAccepting& stop, std::function<void()> done) {
  parts_.service->StopAccepting({stop.addresses().begin(), stop.addresses().end()}, std::move(done));
  return absl::OkStatus();
}

void MasterHandler::Drain(const v1::ToWorker::Drain& drain) {
  parts_.drain(absl::StrCat(drain.reason(), ": draining"), drain.timeout_ns());
}

void MasterHandler::OnMasterGone(const std::string& why) {
  parts_.drain(absl::StrCat("the master is gone (", why, "): draining"), 0);
}

void MasterHandler::Observe(v1::FromWorker::Observed* observed) {
  bool newest = true;
  for (const CorePool::GenerationCount& count : parts_.cores->generations()) {
    control::v1::GenerationStatus* const status = observed->add_generations();
    status->set_generation(count.generation);
    status->set_workers(std::exchange(newest, false) ? 1 : 0);
    status->set_cores(count.cores);
    status->set_cores_busy(count.busy);
  }
}

int MasterHandler::DrainingRequests() {
  return parts_.service->draining() ? static_cast<int>(parts_.cores->busy_count() + parts_.cores->queue_depth()) : -1;
}

// Its CPU time is always new.
bool MasterHandler::Report(v1::FromWorker::Report* report) {
  parts_.statistics->Collect(report->mutable_statistics());
  parts_.statistics->CollectGenerations(report->mutable_generations());
  return true;
}

}  // namespace greenring::worker
