#include "control/service/pool_service.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/config/field_violations.h"
#include "control/service/page.h"
#include "control/service/resource_names.h"

namespace greenring::control {
namespace {

constexpr int kPercentMax = 99;

absl::Status CheckCreate(const v1::CreatePoolRequest& request) {
  if (!request.has_pool()) return ToStatus({{"pool", "is required"}});
  const std::string name = absl::StrCat("pools/", request.pool_id());
  if (!request.pool().name().empty() && request.pool().name() != name) {
    return ToStatus({{"pool.name", absl::StrCat("must be empty or ", name, ", as pool_id says")}});
  }
  return CheckName("pool_id", name, kPoolPattern);
}

std::vector<FieldViolation> Check(const v1::Canary& canary) {
  std::vector<FieldViolation> violations;
  if (canary.percent() < 0 || canary.percent() > kPercentMax) {
    violations.push_back({"canary.percent", absl::StrCat("must be from 0 to 99, not ", canary.percent())});
  }
  if (canary.duration().seconds() < 0 || canary.duration().nanos() < 0) {
    violations.push_back({"canary.duration", "must not be negative"});
  }
  // Written so that what is no number is refused too.
  if (!(canary.error_rate_rise_percent() >= 0)) {
    violations.push_back({"canary.error_rate_rise_percent", "must be 0 (the default) or more"});
  }
  if (!(canary.p99_rise_percent() >= 0)) {
    violations.push_back({"canary.p99_rise_percent", "must be 0 (the default) or more"});
  }
  if (canary.requests_min() < 0) violations.push_back({"canary.requests_min", "must be 0 (the default) or more"});
  return violations;
}

absl::Status CheckUpdate(const v1::UpdatePoolRequest& request) {
  if (!request.has_pool()) return ToStatus({{"pool", "is required"}});
  const absl::Status name = CheckName("pool.name", request.pool().name(), kPoolPattern);
  if (!name.ok()) return name;
  return ToStatus(Check(request.canary()));
}

}  // namespace

grpc::ServerUnaryReactor* PoolService::ListPools(Context*, const v1::ListPoolsRequest* request,
                                                 v1::ListPoolsResponse* response) {
  return gate_->Read(
      request, response,
      [plane = gate_->plane()](const v1::ListPoolsRequest& request) -> absl::StatusOr<v1::ListPoolsResponse> {
        const absl::StatusOr<PageStart> start =
            ParsePage(request.page_size(), request.page_token(), "pools", PageSizes());
        if (!start.ok()) return start.status();
        v1::ListPoolsResponse page;
        FillPage(
            plane->ListPools(), *start, [](const v1::Pool& pool) { return pool.name(); }, page.mutable_pools(),
            page.mutable_next_page_token());
        return page;
      });
}

grpc::ServerUnaryReactor* PoolService::GetPool(Context*, const v1::GetPoolRequest* request, v1::Pool* response) {
  return gate_->Read(request, response,
                     [plane = gate_->plane()](const v1::GetPoolRequest& request) -> absl::StatusOr<v1::Pool> {
                       const absl::Status name = CheckName("name", request.name(), kPoolPattern);
                       if (!name.ok()) return name;
                       return plane->GetPool(request.name());
                     });
}

grpc::ServerUnaryReactor* PoolService::CreatePool(Context* context, const v1::CreatePoolRequest* request,
                                                  v1::Operation* response) {
  const auto create = [plane = gate_->plane()](const v1::CreatePoolRequest& request,
                                               const Caller& caller) -> absl::StatusOr<v1::Operation> {
    const absl::Status status = CheckCreate(request);
    if (!status.ok()) return status;
    return plane->CreatePool(request, caller);
  };
  const std::string method = request->validate_only() ? "CreatePool (validate_only)" : "CreatePool";
  return gate_->Change(context, method, absl::StrCat("pools/", request->pool_id()), request, response, create);
}

grpc::ServerUnaryReactor* PoolService::UpdatePool(Context* context, const v1::UpdatePoolRequest* request,
                                                  v1::Operation* response) {
  const auto update = [plane = gate_->plane()](const v1::UpdatePoolRequest& request,
                                               const Caller& caller) -> absl::StatusOr<v1::Operation> {
    const absl::Status status = CheckUpdate(request);
    if (!status.ok()) return status;
    return plane->UpdatePool(request, caller);
  };
  const std::string method = request->validate_only() ? "UpdatePool (validate_only)" : "UpdatePool";
  return gate_->Change(context, method, request->pool().name(), request, response, update);
}

grpc::ServerUnaryReactor* PoolService::DeletePool(Context* context, const v1::DeletePoolRequest* request,
                                                  v1::Operation* response) {
  const auto remove = [plane = gate_->plane()](const v1::DeletePoolRequest& request,
                                               const Caller& caller) -> absl::StatusOr<v1::Operation> {
    const absl::Status status = CheckName("name", request.name(), kPoolPattern);
    if (!status.ok()) return status;
    return plane->DeletePool(request, caller);
  };
  return gate_->Change(context, "DeletePool", request->name(), request, response, remove);
}

template <typename Request>
grpc::ServerUnaryReactor* PoolService::ChangeByName(
    Context* context, const char* method, const Request* request, v1::Operation* response,
    absl::StatusOr<v1::Operation> (ControlPlane::*change)(const std::string&, const Caller&)) {
  return gate_->Change(
      context, method, request->name(), request, response,
      [plane = gate_->plane(), change](const Request& request, const Caller& caller) -> absl::StatusOr<v1::Operation> {
        const absl::Status status = CheckName("name", request.name(), kPoolPattern);
        if (!status.ok()) return status;
        return (plane->*change)(request.name(), caller);
      });
}

grpc::ServerUnaryReactor* PoolService::ReloadPool(Context* context, const v1::ReloadPoolRequest* request,
                                                  v1::Operation* response) {
  return ChangeByName(context, "ReloadPool", request, response, &ControlPlane::ReloadPool);
}

grpc::ServerUnaryReactor* PoolService::DrainPool(Context* context, const v1::DrainPoolRequest* request,
                                                 v1::Operation* response) {
  return ChangeByName(context, "DrainPool", request, response, &ControlPlane::DrainPool);
}

grpc::ServerUnaryReactor* PoolService::ResumePool(Context* context, const v1::ResumePoolRequest* request,
                                                  v1::Operation* response) {
  return ChangeByName(context, "ResumePool", request, response, &ControlPlane::ResumePool);
}

}  // namespace greenring::control
