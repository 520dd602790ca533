// greenring.control.v1.WorkerService. Called by gRPC's threads; never blocks.
#pragma once

#include "control/service/gate.h"
#include "greenring/control/v1/worker_service.grpc.pb.h"

namespace greenring::control {

class WorkerService final : public v1::WorkerService::CallbackService {
 public:
  explicit WorkerService(Gate* gate) : gate_(gate) {}

 private:
  using Context = grpc::CallbackServerContext;
  using Answer = grpc::ServerUnaryReactor;

  Answer* ListWorkers(Context*, const v1::ListWorkersRequest*, v1::ListWorkersResponse*) override;
  Answer* GetWorker(Context*, const v1::GetWorkerRequest*, v1::Worker*) override;
  Answer* RestartWorker(Context*, const v1::RestartWorkerRequest*, v1::Operation*) override;

  Gate* const gate_;
};

}  // namespace greenring::control
