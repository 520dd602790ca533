#include "worker/master_handler.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/message_differencer.h"

namespace greenring::worker {

absl::Status MasterHandler::Apply(const v1::ToWorker::Apply& apply) {
  return absl::UnimplementedError("this worker takes no live changes; reload the pool");
}

absl::Status MasterHandler::ListRequests(const v1::ToWorker::ListRequests& question,
                                         v1::FromWorker::RequestList* answer) {
  return absl::UnimplementedError("this worker keeps no list of its requests");
}

absl::Status MasterHandler::GetStack(const v1::ToWorker::GetStack& question, v1::FromWorker::StackText* answer) {
  return absl::UnimplementedError("this worker shows no single stack; dump it");
}

absl::Status MasterHandler::CancelRequest(const v1::ToWorker::CancelRequest& cancel) {
  return absl::UnimplementedError("this worker cancels no single request");
}

absl::Status MasterHandler::StopAccepting(const v1::ToWorker::StopAccepting& stop, std::function<void()> done) {
  return absl::UnimplementedError("this worker stops accepting only when it drains");
}

void MasterHandler::Drain(const v1::ToWorker::Drain& drain) {
  parts_.drain(absl::StrCat(drain.reason(), ": draining"), drain.timeout_ns());
}

void MasterHandler::OnMasterGone(const std::string& why) {
  parts_.drain(absl::StrCat("the master is gone (", why, "): draining"), 0);
}

void MasterHandler::Observe(v1::FromWorker::Observed* observed) {
  control::v1::GenerationStatus* const only = observed->add_generations();
  only->set_generation(pool_.generation());
  only->set_workers(1);
  only->set_cores(static_cast<int32_t>(parts_.cores->live_count()));
  only->set_cores_busy(static_cast<int32_t>(parts_.cores->busy_count()));
}

int MasterHandler::DrainingRequests() {
  return parts_.service->draining() ? static_cast<int>(parts_.cores->busy_count() + parts_.cores->queue_depth()) : -1;
}

bool MasterHandler::Report(v1::FromWorker::Report* report) {
  control::v1::Statistics* const statistics = report->mutable_statistics();
  statistics->set_cores(static_cast<int32_t>(parts_.cores->live_count()));
  statistics->set_cores_busy(static_cast<int32_t>(parts_.cores->busy_count()));
  statistics->set_queue_depth(static_cast<int32_t>(parts_.cores->queue_depth()));
  statistics->set_connections(static_cast<int32_t>(parts_.service->connection_count()));
  if (google::protobuf::util::MessageDifferencer::Equals(*report, reported_)) return false;
  reported_ = *report;
  return true;
}

}  // namespace greenring::worker
