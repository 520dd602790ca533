// greenring.control.v1.RequestService: the workers are asked, and no thread waits for them. Called by gRPC's threads;
// never blocks.
#pragma once

#include "control/service/gate.h"
#include "greenring/control/v1/request_service.grpc.pb.h"

namespace greenring::control {

class RequestService final : public v1::RequestService::CallbackService {
 public:
  explicit RequestService(Gate* gate) : gate_(gate) {}

 private:
  using Context = grpc::CallbackServerContext;
  using Answer = grpc::ServerUnaryReactor;

  Answer* ListRequests(Context*, const v1::ListRequestsRequest*, v1::ListRequestsResponse*) override;
  Answer* GetStack(Context*, const v1::GetStackRequest*, v1::Stack*) override;
  Answer* CancelRequest(Context*, const v1::CancelRequestRequest*, v1::CancelRequestResponse*) override;

  Gate* const gate_;
};

}  // namespace greenring::control
