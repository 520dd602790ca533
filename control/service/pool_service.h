// greenring.control.v1.PoolService: what is wrong in a request's form is refused here, the rest is the control plane's.
// Called by gRPC's threads; never blocks.
#pragma once

#include "control/service/gate.h"
#include "greenring/control/v1/pool_service.grpc.pb.h"

namespace greenring::control {

class PoolService final : public v1::PoolService::CallbackService {
 public:
  explicit PoolService(Gate* gate) : gate_(gate) {}

 private:
  using Context = grpc::CallbackServerContext;
  using Answer = grpc::ServerUnaryReactor;

  Answer* ListPools(Context*, const v1::ListPoolsRequest*, v1::ListPoolsResponse*) override;
  Answer* GetPool(Context*, const v1::GetPoolRequest*, v1::Pool*) override;
  Answer* CreatePool(Context*, const v1::CreatePoolRequest*, v1::Operation*) override;
  Answer* UpdatePool(Context*, const v1::UpdatePoolRequest*, v1::Operation*) override;
  Answer* DeletePool(Context*, const v1::DeletePoolRequest*, v1::Operation*) override;
  Answer* ReloadPool(Context*, const v1::ReloadPoolRequest*, v1::Operation*) override;
  Answer* DrainPool(Context*, const v1::DrainPoolRequest*, v1::Operation*) override;
  Answer* ResumePool(Context*, const v1::ResumePoolRequest*, v1::Operation*) override;

  // Those that need no more than the pool's name.
  template <typename Request>
  Answer* ChangeByName(Context* context, const char* method, const Request* request, v1::Operation* response,
                       absl::StatusOr<v1::Operation> (ControlPlane::*change)(const std::string&, const Caller&));

  Gate* const gate_;
};

}  // namespace greenring::control
