#include "tools/greenctl/client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <set>
#include <utility>

#include "control/config/quantities.h"
#include "greenring/control/v1/operation_service.grpc.pb.h"
#include "greenring/control/v1/pool_service.grpc.pb.h"
#include "greenring/control/v1/request_service.grpc.pb.h"
#include "greenring/control/v1/server_service.grpc.pb.h"
#include "greenring/control/v1/worker_service.grpc.pb.h"
#include "tools/greenctl/connection.h"
#include "tools/greenctl/exit_code.h"

namespace greenring::greenctl {

struct Client::Connection {
  Connection(std::string to, absl::Time until, std::shared_ptr<grpc::Channel> through)
      : address(std::move(to)),
        deadline(until),
        channel(std::move(through)),
        pools(channel),
        workers(channel),
        requests(channel),
        operations(channel),
        server(channel) {}

  const std::string address;
  const absl::Time deadline;
  const std::shared_ptr<grpc::Channel> channel;
  v1::PoolService::Stub pools;
  v1::WorkerService::Stub workers;
  v1::RequestService::Stub requests;
  v1::OperationService::Stub operations;
  v1::ServerService::Stub server;

  absl::Mutex mutex;
  std::set<grpc::ClientContext*> calls ABSL_GUARDED_BY(mutex);  // that wait for their answer
  bool ended ABSL_GUARDED_BY(mutex) = false;

  // A call that never reached a server is told from one that a server has answered.
  absl::Status ToStatus(const grpc::Status& status) const {
    if (status.ok()) return absl::OkStatus();
    if (status.error_code() == grpc::StatusCode::UNAVAILABLE && channel->GetState(false) != GRPC_CHANNEL_READY) {
      return Unreachable(address, status.error_message());
    }
    return FromGrpc(static_cast<int>(status.error_code()), status.error_message(), status.error_details());
  }

  template <typename Response, typename Stub, typename Request>
  absl::StatusOr<Response> Call(Stub& stub,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                const Request& request) {
    constexpr absl::Duration kAnswerMax = absl::Seconds(30);
    if (absl::Status status = CheckServer(address); !status.ok()) return status;
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(std::min(deadline, absl::Now() + kAnswerMax)));
    {
      absl::MutexLock lock(&mutex);
      if (ended) return absl::CancelledError("no more calls");
      calls.insert(&context);
    }
    Response response;
    const grpc::Status status = (stub.*method)(&context, request, &response);
    {
      absl::MutexLock lock(&mutex);
      calls.erase(&context);
    }
    if (!status.ok()) return ToStatus(status);
    return response;
  }

  // For methods whose request has a name and nothing else of interest.
  template <typename Request, typename Response, typename Stub>
  absl::StatusOr<Response> CallByName(Stub& stub,
                                      grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                      const std::string& name) {
    Request request;
    request.set_name(name);
    return Call(stub, method, request);
  }

  template <typename Message, typename Stub, typename Request>
  absl::Status Stream(
      Stub& stub, std::unique_ptr<grpc::ClientReader<Message>> (Stub::*method)(grpc::ClientContext*, const Request&),
      const Request& request, Cancellation* cancellation, const std::function<bool(const Message&)>& on_message) const {
    if (absl::Status status = CheckServer(address); !status.ok()) return status;
    grpc::ClientContext context;
    if (deadline != absl::InfiniteFuture()) context.set_deadline(absl::ToChronoTime(deadline));
    if (cancellation != nullptr) cancellation->Attach([&context] { context.TryCancel(); });
    std::unique_ptr<grpc::ClientReader<Message>> reader = (stub.*method)(&context, request);
    Message message;
    bool enough = false;
    while (!enough && reader->Read(&message)) enough = !on_message(message);
    if (enough) context.TryCancel();
    const grpc::Status status = reader->Finish();
    if (cancellation != nullptr) {
      cancellation->Attach(nullptr);
      if (cancellation->cancelled()) return absl::CancelledError("interrupted");
    }
    return enough ? absl::OkStatus() : ToStatus(status);
  }
};

void Cancellation::Cancel() {
  absl::MutexLock lock(&mutex_);
  cancelled_ = true;
  if (function_) function_();
}

bool Cancellation::cancelled() const {
  absl::MutexLock lock(&mutex_);
  return cancelled_;
}

void Cancellation::Attach(std::function<void()> function) {
  absl::MutexLock lock(&mutex_);
  function_ = std::move(function);
  if (cancelled_ && function_) function_();
}

absl::StatusOr<std::unique_ptr<Client>> Client::Create(const ConnectionOptions& options, absl::Time deadline) {
  absl::StatusOr<std::shared_ptr<grpc::Channel>> channel = OpenChannel(options);
  if (!channel.ok()) return channel.status();
  return std::unique_ptr<Client>(
      new Client(std::make_unique<Connection>(options.address, deadline, *std::move(channel))));
}

Client::Client(std::unique_ptr<Connection> connection) : connection_(std::move(connection)) {}
Client::~Client() = default;

void Client::EndCalls() {
  absl::MutexLock lock(&connection_->mutex);
  connection_->ended = true;
  for (grpc::ClientContext* call : connection_->calls) call->TryCancel();
}

const std::string& Client::address() const { return connection_->address; }

namespace {

// All pages of a list in one response. `list` asks for the page of a request.
template <typename Response, typename Request, typename List>
absl::StatusOr<Response> AllPages(Request request, const List& list) {
  Response all;
  while (true) {
    absl::StatusOr<Response> page = list(request);
    if (!page.ok()) return page.status();
    all.MergeFrom(*page);
    all.clear_next_page_token();
    if (page->next_page_token().empty()) return all;
    request.set_page_token(page->next_page_token());
  }
}

constexpr int kPageSizeMax = 1000;

}  // namespace

absl::StatusOr<v1::ListPoolsResponse> Client::ListPools() {
  v1::ListPoolsRequest request;
  request.set_page_size(kPageSizeMax);
  return AllPages<v1::ListPoolsResponse>(request, [this](const v1::ListPoolsRequest& page) {
    return connection_->Call(connection_->pools, &v1::PoolService::Stub::ListPools, page);
  });
}

absl::StatusOr<v1::Pool> Client::GetPool(const std::string& name) {
  return connection_->CallByName(connection_->pools, &v1::PoolService::Stub::GetPool, name);
}

absl::StatusOr<v1::Operation> Client::UpdatePool(const v1::UpdatePoolRequest& request) {
  return connection_->Call(connection_->pools, &v1::PoolService::Stub::UpdatePool, request);
}

absl::StatusOr<v1::Operation> Client::DeletePool(const std::string& name) {
  return connection_->CallByName(connection_->pools, &v1::PoolService::Stub::DeletePool, name);
}

absl::StatusOr<v1::Operation> Client::ReloadPool(const std::string& name) {
  return connection_->CallByName(connection_->pools, &v1::PoolService::Stub::ReloadPool, name);
}

absl::StatusOr<v1::Operation> Client::DrainPool(const std::string& name) {
  return connection_->CallByName(connection_->pools, &v1::PoolService::Stub::DrainPool, name);
}

absl::StatusOr<v1::Operation> Client::ResumePool(const std::string& name) {
  return connection_->CallByName(connection_->pools, &v1::PoolService::Stub::ResumePool, name);
}

absl::StatusOr<v1::ListWorkersResponse> Client::ListWorkers(const std::string& parent, bool show_ended) {
  v1::ListWorkersRequest request;
  request.set_parent(parent);
  request.set_show_ended(show_ended);
  request.set_page_size(kPageSizeMax);
  return AllPages<v1::ListWorkersResponse>(request, [this](const v1::ListWorkersRequest& page) {
    return connection_->Call(connection_->workers, &v1::WorkerService::Stub::ListWorkers, page);
  });
}

absl::StatusOr<v1::Worker> Client::GetWorker(const std::string& name) {
  return connection_->CallByName(connection_->workers, &v1::WorkerService::Stub::GetWorker, name);
}

absl::StatusOr<v1::Operation> Client::RestartWorker(const std::string& name) {
  return connection_->CallByName(connection_->workers, &v1::WorkerService::Stub::RestartWorker, name);
}

absl::StatusOr<v1::ListRequestsResponse> Client::ListRequests(const std::string& parent, absl::Duration age_min,
                                                              int count_max) {
  v1::ListRequestsRequest request;
  request.set_parent(parent);
  if (age_min > absl::ZeroDuration()) *request.mutable_age_min() = control::ToProto(age_min);
  request.set_page_size(count_max);
  absl::StatusOr<v1::ListRequestsResponse> response =
      connection_->Call(connection_->requests, &v1::RequestService::Stub::ListRequests, request);
  if (response.ok()) response->clear_next_page_token();
  return response;
}

absl::StatusOr<v1::Stack> Client::GetStack(const std::string& name) {
  return connection_->CallByName(connection_->requests, &v1::RequestService::Stub::GetStack, name);
}

absl::Status Client::CancelRequest(const std::string& name, const std::string& reason) {
  v1::CancelRequestRequest request;
  request.set_name(name);
  request.set_reason(reason);
  return connection_->Call(connection_->requests, &v1::RequestService::Stub::CancelRequest, request).status();
}

absl::StatusOr<v1::ListOperationsResponse> Client::ListOperations() {
  v1::ListOperationsRequest request;
  request.set_page_size(kPageSizeMax);
  return AllPages<v1::ListOperationsResponse>(request, [this](const v1::ListOperationsRequest& page) {
    return connection_->Call(connection_->operations, &v1::OperationService::Stub::ListOperations, page);
  });
}

absl::StatusOr<v1::Operation> Client::GetOperation(const std::string& name) {
  return connection_->CallByName(connection_->operations, &v1::OperationService::Stub::GetOperation, name);
}

absl::StatusOr<v1::Operation> Client::CancelOperation(const std::string& name) {
  return connection_->CallByName(connection_->operations, &v1::OperationService::Stub::CancelOperation, name);
}

absl::StatusOr<v1::Server> Client::GetServer() {
  return connection_->Call(connection_->server, &v1::ServerService::Stub::GetServer, v1::GetServerRequest());
}

absl::StatusOr<v1::ListEventsResponse> Client::ListEvents(const std::vector<std::string>& pools, int64_t after) {
  v1::ListEventsRequest request;
  for (const std::string& pool : pools) request.add_pools(pool);
  request.set_after_event(after);
  request.set_page_size(kPageSizeMax);
  return AllPages<v1::ListEventsResponse>(request, [this](const v1::ListEventsRequest& page) {
    return connection_->Call(connection_->server, &v1::ServerService::Stub::ListEvents, page);
  });
}

absl::StatusOr<v1::ListStatisticsResponse> Client::ListStatistics(const std::vector<std::string>& pools) {
  v1::ListStatisticsRequest request;
  for (const std::string& pool : pools) request.add_pools(pool);
  return connection_->Call(connection_->server, &v1::ServerService::Stub::ListStatistics, request);
}

absl::Status Client::WatchOperation(const std::string& name, Cancellation* cancellation,
                                    const std::function<bool(const v1::Operation&)>& on_message) {
  v1::GetOperationRequest request;
  request.set_name(name);
  return connection_->Stream(connection_->operations, &v1::OperationService::Stub::WatchOperation, request,
                             cancellation, on_message);
}

absl::Status Client::Watch(const v1::WatchRequest& request, Cancellation* cancellation,
                           const std::function<bool(const v1::WatchResponse&)>& on_message) {
  return connection_->Stream(connection_->server, &v1::ServerService::Stub::Watch, request, cancellation, on_message);
}

}  // namespace greenring::greenctl
