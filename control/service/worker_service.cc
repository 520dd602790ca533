#include "control/service/worker_service.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "control/service/page.h"
#include "control/service/resource_names.h"

namespace greenring::control {
namespace {

// As the list is ordered: by pool and number. The line feed is below every character of a pool's name.
std::string KeyOf(const v1::Worker& worker) {
  const std::string& name = worker.name();
  const size_t slash = name.rfind('/');
  int64_t number = 0;
  if (slash == std::string::npos || !absl::SimpleAtoi(name.substr(slash + 1), &number)) return name;
  return absl::StrCat(name.substr(0, name.find("/workers/")), "\n", absl::StrFormat("%019d", number));
}

absl::StatusOr<v1::ListWorkersResponse> List(ControlPlane* plane, const v1::ListWorkersRequest& request) {
  const absl::Status parent = CheckName("parent", request.parent(), kPoolPattern, Dashes::kForAny);
  if (!parent.ok()) return parent;
  const std::string list = absl::StrCat("workers of ", request.parent(), request.show_ended() ? " with ended" : "");
  const absl::StatusOr<PageStart> start = ParsePage(request.page_size(), request.page_token(), list, PageSizes());
  if (!start.ok()) return start.status();
  absl::StatusOr<std::vector<v1::Worker>> workers = plane->ListWorkers(request.parent(), request.show_ended());
  if (!workers.ok()) return workers.status();
  v1::ListWorkersResponse page;
  FillPage(*std::move(workers), *start, KeyOf, page.mutable_workers(), page.mutable_next_page_token());
  return page;
}

}  // namespace

grpc::ServerUnaryReactor* WorkerService::ListWorkers(Context*, const v1::ListWorkersRequest* request,
                                                     v1::ListWorkersResponse* response) {
  return gate_->Read(request, response,
                     [plane = gate_->plane()](const v1::ListWorkersRequest& request) { return List(plane, request); });
}

grpc::ServerUnaryReactor* WorkerService::GetWorker(Context*, const v1::GetWorkerRequest* request,
                                                   v1::Worker* response) {
  return gate_->Read(request, response,
                     [plane = gate_->plane()](const v1::GetWorkerRequest& request) -> absl::StatusOr<v1::Worker> {
                       const absl::Status name = CheckName("name", request.name(), kWorkerPattern);
                       if (!name.ok()) return name;
                       return plane->GetWorker(request.name());
                     });
}

grpc::ServerUnaryReactor* WorkerService::RestartWorker(Context* context, const v1::RestartWorkerRequest* request,
                                                       v1::Operation* response) {
  const auto restart = [plane = gate_->plane()](const v1::RestartWorkerRequest& request,
                                                const Caller& caller) -> absl::StatusOr<v1::Operation> {
    const absl::Status name = CheckName("name", request.name(), kWorkerPattern);
    if (!name.ok()) return name;
    return plane->RestartWorker(request.name(), caller);
  };
  return gate_->Change(context, "RestartWorker", request->name(), request, response, restart);
}

}  // namespace greenring::control
