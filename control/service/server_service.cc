#include "control/service/server_service.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "control/config/field_violations.h"
#include "control/service/event_filter.h"
#include "control/service/page.h"
#include "control/service/resource_names.h"

namespace greenring::control {
namespace {

// Each is a pool that exists. (Who waits for one that does not would wait in vain, most likely for a slip of the pen.)
absl::Status CheckPools(ControlPlane* plane, const google::protobuf::RepeatedPtrField<std::string>& pools) {
  for (int i = 0; i < pools.size(); ++i) {
    const absl::Status name = CheckName(absl::StrCat("pools[", i, "]"), pools[i], kPoolPattern);
    if (!name.ok()) return name;
    const absl::StatusOr<v1::Pool> pool = plane->GetPool(pools[i]);
    if (!pool.ok()) return pool.status();
  }
  return absl::OkStatus();
}

// Pages go by the events' ids, which never fall.
absl::StatusOr<v1::ListEventsResponse> List(ControlPlane* plane, const v1::ListEventsRequest& request) {
  if (absl::Status pools = CheckPools(plane, request.pools()); !pools.ok()) return pools;
  if (request.after_event() < 0) return ToStatus({{"after_event", "must be an event's id, or 0 for all"}});
  absl::Status happened = CheckHasHappened(plane, request.after_event(), "list all with after_event=0");
  if (!happened.ok()) return happened;
  absl::StatusOr<PageStart> start = ParsePage(request.page_size(), request.page_token(),
                                              absl::StrCat("events ", absl::StrJoin(request.pools(), ",")), {});
  if (!start.ok()) return start.status();
  int64_t after = 0;
  static_cast<void>(absl::SimpleAtoi(start->after, &after));  // as MakePageToken was told, or none
  start->after.clear();

  std::vector<v1::Event> events = plane->EventsAfter(std::max(after, request.after_event()));
  const EventFilter filter(plane, {request.pools().begin(), request.pools().end()});
  events.erase(
      std::remove_if(events.begin(), events.end(), [&filter](const v1::Event& event) { return !filter.Wants(event); }),
      events.end());
  v1::ListEventsResponse page;
  FillPage(
      std::move(events), *start, [](const v1::Event& event) { return absl::StrCat(event.id()); }, page.mutable_events(),
      page.mutable_next_page_token());
  return page;
}

}  // namespace

void ServerService::Stop() {
  stopped_ = true;
  watchers_.clear();
}

grpc::ServerUnaryReactor* ServerService::GetServer(Context*, const v1::GetServerRequest* request,
                                                   v1::Server* response) {
  return gate_->Read(request, response,
                     [plane = gate_->plane()](const v1::GetServerRequest&) -> absl::StatusOr<v1::Server> {
                       return plane->GetServer();
                     });
}

grpc::ServerUnaryReactor* ServerService::ListEvents(Context*, const v1::ListEventsRequest* request,
                                                    v1::ListEventsResponse* response) {
  return gate_->Read(request, response,
                     [plane = gate_->plane()](const v1::ListEventsRequest& request) { return List(plane, request); });
}

grpc::ServerUnaryReactor* ServerService::ListStatistics(Context*, const v1::ListStatisticsRequest* request,
                                                        v1::ListStatisticsResponse* response) {
  const auto list =
      [plane = gate_->plane()](const v1::ListStatisticsRequest& request) -> absl::StatusOr<v1::ListStatisticsResponse> {
    const absl::Status pools = CheckPools(plane, request.pools());
    if (!pools.ok()) return pools;
    v1::ListStatisticsResponse response;
    for (v1::PoolStatistics& statistics : plane->ListStatistics({request.pools().begin(), request.pools().end()})) {
      *response.add_pools() = std::move(statistics);
    }
    return response;
  };
  return gate_->Read(request, response, list);
}

grpc::ServerWriteReactor<v1::WatchResponse>* ServerService::Watch(Context*, const v1::WatchRequest* request) {
  const std::shared_ptr<WatchStream> stream = Watcher::BeginStream(
      gate_->calls(),
      [reactor = gate_->reactor(), forget = lifetime_.Guard([this] { ForgetEnded(); })] { reactor->Post(forget); });
  gate_->reactor()->Post(lifetime_.Guard([this, stream, request = *request] { BeginWatch(request, stream); }));
  return stream.get();
}

void ServerService::BeginWatch(const v1::WatchRequest& request, const std::shared_ptr<WatchStream>& stream) {
  if (stopped_ || !stream->open()) return;
  absl::Status status = CheckPools(gate_->plane(), request.pools());
  if (status.ok()) status = Watcher::Check(request, gate_->plane());
  if (!status.ok()) return stream->End(ToGrpcStatus(status));
  watchers_.push_back(std::make_unique<Watcher>(request, gate_->reactor(), gate_->plane(), stream));
}

void ServerService::ForgetEnded() {
  watchers_.remove_if([](const std::unique_ptr<Watcher>& watcher) { return !watcher->open(); });
}

}  // namespace greenring::control
