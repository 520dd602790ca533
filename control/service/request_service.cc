#include "control/service/request_service.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "control/config/field_violations.h"
#include "control/service/durations.h"
#include "control/service/page.h"
#include "control/service/resource_names.h"
#include "google/protobuf/util/time_util.h"

namespace greenring::control {
namespace {

using google::protobuf::util::TimeUtil;

constexpr PageSizes kPageSizes = {50, 10'000};
constexpr int64_t kAgeMaxNs = int64_t{365 * 24 * 3600} * 1'000'000'000;
constexpr size_t kReasonBytesMax = 1024;
constexpr char kDefaultReason[] = "cancelled by an operator";

// Oldest first; the name is for those of the same nanosecond.
std::string KeyOf(const v1::Request& request) {
  const int64_t start_ns = std::max<int64_t>(0, TimeUtil::TimestampToNanoseconds(request.start_time()));
  return absl::StrCat(absl::StrFormat("%019d", start_ns), " ", request.name());
}

absl::StatusOr<PageStart> CheckList(const v1::ListRequestsRequest& request) {
  const absl::Status parent = CheckName("parent", request.parent(), kWorkerPattern, Dashes::kForAny);
  if (!parent.ok()) return parent;
  const absl::StatusOr<int64_t> age_ns = ToNanoseconds("age_min", request.age_min(), 0, kAgeMaxNs);
  if (!age_ns.ok()) return age_ns.status();
  return ParsePage(request.page_size(), request.page_token(), absl::StrCat("requests of ", request.parent()),
                   kPageSizes);
}

v1::ListRequestsResponse ToPage(ControlPlane::RequestList list, const PageStart& start) {
  // In the order of the keys, which the workers' lists need not have been merged in where times are the same.
  std::vector<std::pair<std::string, v1::Request>> keyed;
  keyed.reserve(list.requests.size());
  for (v1::Request& request : list.requests) {
    std::string key = KeyOf(request);
    keyed.emplace_back(std::move(key), std::move(request));
  }
  std::sort(keyed.begin(), keyed.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<v1::Request> sorted;
  sorted.reserve(keyed.size());
  for (auto& [key, request] : keyed) sorted.push_back(std::move(request));

  v1::ListRequestsResponse page;
  FillPage(std::move(sorted), start, KeyOf, page.mutable_requests(), page.mutable_next_page_token());
  for (std::string& worker : list.unreachable) page.add_unreachable(std::move(worker));
  return page;
}

}  // namespace

grpc::ServerUnaryReactor* RequestService::ListRequests(Context*, const v1::ListRequestsRequest* request,
                                                       v1::ListRequestsResponse* response) {
  using Call = std::shared_ptr<UnaryCall<v1::ListRequestsResponse>>;
  return gate_->ReadLater(request, response,
                          [plane = gate_->plane()](const v1::ListRequestsRequest& request, const Call& call) {
                            const absl::StatusOr<PageStart> start = CheckList(request);
                            if (!start.ok()) return call->Answer(start.status());
                            plane->ListRequests(request.parent(), TimeUtil::DurationToNanoseconds(request.age_min()),
                                                [call, start = *start](absl::StatusOr<ControlPlane::RequestList> list) {
                                                  if (!list.ok()) return call->Answer(list.status());
                                                  call->Answer(ToPage(*std::move(list), start));
                                                });
                          });
}

grpc::ServerUnaryReactor* RequestService::GetStack(Context*, const v1::GetStackRequest* request, v1::Stack* response) {
  using Call = std::shared_ptr<UnaryCall<v1::Stack>>;
  return gate_->ReadLater(
      request, response, [plane = gate_->plane()](const v1::GetStackRequest& request, const Call& call) {
        const absl::Status name = CheckName("name", request.name(), kRequestPattern);
        if (!name.ok()) return call->Answer(name);
        plane->GetStack(request.name(), [call](absl::StatusOr<v1::Stack> stack) { call->Answer(std::move(stack)); });
      });
}

grpc::ServerUnaryReactor* RequestService::CancelRequest(Context* context, const v1::CancelRequestRequest* request,
                                                        v1::CancelRequestResponse* response) {
  const auto cancel = [plane = gate_->plane()](const v1::CancelRequestRequest& request, const Caller& caller,
                                               auto done) {
    const absl::Status name = CheckName("name", request.name(), kRequestPattern);
    if (!name.ok()) return done(name);
    if (request.reason().size() > kReasonBytesMax) {
      return done(ToStatus({{"reason", absl::StrCat("must have at most ", kReasonBytesMax, " bytes")}}));
    }
    const std::string reason = request.reason().empty() ? kDefaultReason : request.reason();
    plane->CancelRequest(request.name(), reason, caller, [done](const absl::Status& status) {
      status.ok() ? done(v1::CancelRequestResponse()) : done(status);
    });
  };
  return gate_->ChangeLater(context, "CancelRequest", request->name(), request, response, cancel);
}

}  // namespace greenring::control
