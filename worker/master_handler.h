// What a worker's master may ask of it, answered by the worker's parts.
//
//   MasterHandler handler({.service = &service, .cores = &cores, .dumper = &dumper, .drain = ...});
//   MasterLink link(&loop, std::move(fd), std::move(decoder), &handler);
//
// Loop's thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "pyhost/uwsgi/host.h"
#include "worker/core_pool.h"
#include "worker/http_service.h"
#include "worker/master_link.h"
#include "worker/options.h"
#include "worker/request_list.h"
#include "worker/shared_addresses.h"
#include "worker/statistics_collector.h"
#include "worker/thread_dumper.h"

namespace greenring::worker {

class MasterHandler final : public MasterLink::Handler {
 public:
  // They outlive the handler.
  struct Parts {
    HttpService* service;
    CorePool* cores;
    ThreadDumper* dumper;
    StatisticsCollector* statistics;
    RequestList* requests;
    SharedAddresses* shared_addresses;
    // What may change while the worker runs holds from now on; with a canary only what its share of the cores is made
    // of (CorePool::Apply).
    std::function<void(const WorkerOptions& options, int64_t generation, int canary_percent)> apply;
    // Begins a drain; 0: with the timeout that the worker has anyway.
    std::function<void(const std::string& reason, int64_t timeout_ns)> drain;
    // Who has the module `uwsgi`; null: the application has not.
    pyhost::UwsgiSignalSink* signals = nullptr;
  };

  explicit MasterHandler(Parts parts) : parts_(std::move(parts)) {}

  absl::Status Apply(const v1::ToWorker::Apply& apply) override;
  absl::Status ListRequests(const v1::ToWorker::ListRequests& question, v1::FromWorker::RequestList* answer) override;
  absl::Status GetStack(const v1::ToWorker::GetStack& question, v1::FromWorker::StackText* answer) override;
  absl::Status CancelRequest(const v1::ToWorker::CancelRequest& cancel) override;
  absl::Status StopAccepting(const v1::ToWorker::StopAccepting& stop, std::function<void()> done) override;
  void SetRoutes(const v1::ToWorker::Routes& routes, std::vector<UniqueFd> descriptors) override {
    parts_.shared_addresses->Apply(routes, std::move(descriptors));
  }
  void Drain(const v1::ToWorker::Drain& drain) override;
  void Dump() override { parts_.dumper->Ask(); }
  void TakeSignal(int signal) override {
    if (parts_.signals != nullptr) parts_.signals->OnSignal(signal);
  }
  void OnMasterGone(const std::string& why) override;
  void Observe(v1::FromWorker::Observed* observed) override;
  int DrainingRequests() override;
  bool Report(v1::FromWorker::Report* report) override;

 private:
  const Parts parts_;
};

}  // namespace greenring::worker
