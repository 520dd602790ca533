#include "control/service/operation_service.h"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "control/service/durations.h"
#include "control/service/page.h"
#include "control/service/resource_names.h"
#include "google/protobuf/util/time_util.h"

namespace greenring::control {
namespace {

using google::protobuf::util::TimeUtil;

constexpr int64_t kWaitMaxNs = int64_t{600} * 1'000'000'000;
// An operation of 1024 workers takes that many steps, and a client that is slow may miss some in between.
constexpr size_t kStepsQueuedMax = 2048;

std::string KeyOf(const v1::Operation& operation) {
  return absl::StrCat(TimeUtil::TimestampToNanoseconds(operation.create_time()), " ", operation.name());
}

// Newest first: what comes after the operation of `key` in the list, and what is older when that is no longer there.
class ComesAfter {
 public:
  ComesAfter(const std::vector<v1::Operation>& operations, const std::string& key) {
    const size_t space = std::min(key.find(' '), key.size());
    name_ = space < key.size() ? key.substr(space + 1) : "";
    if (!absl::SimpleAtoi(key.substr(0, space), &create_ns_)) create_ns_ = 0;
    there_ = std::any_of(operations.begin(), operations.end(),
                         [this](const v1::Operation& operation) { return operation.name() == name_; });
  }

  bool operator()(const v1::Operation& operation) {
    if (!there_) return TimeUtil::TimestampToNanoseconds(operation.create_time()) < create_ns_;
    const bool passed = passed_;
    passed_ = passed_ || operation.name() == name_;
    return passed;
  }

 private:
  std::string name_;
  int64_t create_ns_ = 0;
  bool there_;
  bool passed_ = false;
};

absl::StatusOr<v1::ListOperationsResponse> List(ControlPlane* plane, const v1::ListOperationsRequest& request) {
  const absl::StatusOr<PageStart> start =
      ParsePage(request.page_size(), request.page_token(), "operations", PageSizes());
  if (!start.ok()) return start.status();
  std::vector<v1::Operation> operations = plane->ListOperations();
  ComesAfter comes_after(operations, start->after);
  v1::ListOperationsResponse page;
  FillPage(
      std::move(operations), *start, KeyOf,
      [&comes_after](const v1::Operation& operation, const std::string&) { return comes_after(operation); },
      page.mutable_operations(), page.mutable_next_page_token());
  return page;
}

}  // namespace

struct OperationService::Wait {
  std::string operation;
  std::shared_ptr<UnaryCall<v1::Operation>> call;
  boost::asio::steady_timer timer;
};

OperationService::OperationService(Gate* gate) : gate_(gate) { gate_->plane()->AddObserver(this); }

OperationService::~OperationService() { Stop(); }

void OperationService::Stop() {
  if (std::exchange(stopped_, true)) return;
  gate_->plane()->RemoveObserver(this);
  waits_.clear();
  watches_.clear();
}

grpc::ServerUnaryReactor* OperationService::ListOperations(Context*, const v1::ListOperationsRequest* request,
                                                           v1::ListOperationsResponse* response) {
  return gate_->Read(request, response, [plane = gate_->plane()](const v1::ListOperationsRequest& request) {
    return List(plane, request);
  });
}

grpc::ServerUnaryReactor* OperationService::GetOperation(Context*, const v1::GetOperationRequest* request,
                                                         v1::Operation* response) {
  return gate_->Read(request, response,
                     [plane = gate_->plane()](const v1::GetOperationRequest& request) -> absl::StatusOr<v1::Operation> {
                       const absl::Status name = CheckName("name", request.name(), kOperationPattern);
                       if (!name.ok()) return name;
                       return plane->GetOperation(request.name());
                     });
}

grpc::ServerUnaryReactor* OperationService::CancelOperation(Context* context, const v1::CancelOperationRequest* request,
                                                            v1::Operation* response) {
  const auto cancel = [plane = gate_->plane()](const v1::CancelOperationRequest& request,
                                               const Caller& caller) -> absl::StatusOr<v1::Operation> {
    const absl::Status name = CheckName("name", request.name(), kOperationPattern);
    if (!name.ok()) return name;
    return plane->CancelOperation(request.name(), caller);
  };
  return gate_->Change(context, "CancelOperation", request->name(), request, response, cancel);
}

// ---- waits ----

grpc::ServerUnaryReactor* OperationService::WaitOperation(Context*, const v1::WaitOperationRequest* request,
                                                          v1::Operation* response) {
  using Call = std::shared_ptr<UnaryCall<v1::Operation>>;
  return gate_->ReadLater(
      request, response,
      [this](const v1::WaitOperationRequest& request, const Call& call) { BeginWait(request, call); },
      /*abandoned=*/
      [reactor = gate_->reactor(), forget = lifetime_.Guard([this] { ForgetEnded(); })] { reactor->Post(forget); });
}

void OperationService::BeginWait(const v1::WaitOperationRequest& request,
                                 std::shared_ptr<UnaryCall<v1::Operation>> call) {
  const absl::Status name = CheckName("name", request.name(), kOperationPattern);
  if (!name.ok()) return call->Answer(name);
  absl::StatusOr<int64_t> timeout_ns = kWaitMaxNs;
  if (request.has_timeout()) timeout_ns = ToNanoseconds("timeout", request.timeout(), 0, kWaitMaxNs);
  if (!timeout_ns.ok()) return call->Answer(timeout_ns.status());
  absl::StatusOr<v1::Operation> operation = gate_->plane()->GetOperation(request.name());
  if (!operation.ok() || operation->done()) return call->Answer(std::move(operation));

  waits_.push_back({request.name(), std::move(call),
                    boost::asio::steady_timer(*gate_->reactor()->context(), std::chrono::nanoseconds(*timeout_ns))});
  Wait* const wait = &waits_.back();
  wait->timer.async_wait(lifetime_.Guard([this, wait](const boost::system::error_code& error) {
    if (!error) EndWait(wait);
  }));
}

// The time is up. (The wait may have ended when the timer had fired already.)
void OperationService::EndWait(const Wait* wait) {
  const auto found = std::find_if(waits_.begin(), waits_.end(), [wait](const Wait& other) { return &other == wait; });
  if (found == waits_.end()) return;
  found->call->Answer(gate_->plane()->GetOperation(found->operation));
  waits_.erase(found);
}

// ---- watches ----

grpc::ServerWriteReactor<v1::Operation>* OperationService::WatchOperation(Context*,
                                                                          const v1::GetOperationRequest* request) {
  Stream::Options options;
  options.queue_length_max = kStepsQueuedMax;
  options.ended = [reactor = gate_->reactor(), forget = lifetime_.Guard([this] { ForgetEnded(); })] {
    reactor->Post(forget);
  };
  const std::shared_ptr<Stream> stream = Stream::Begin(gate_->calls(), std::move(options));
  gate_->reactor()->Post(lifetime_.Guard([this, stream, name = request->name()] { BeginWatch(name, stream); }));
  return stream.get();
}

void OperationService::BeginWatch(const std::string& name, const std::shared_ptr<Stream>& stream) {
  if (stopped_ || !stream->open()) return;
  const absl::Status valid = CheckName("name", name, kOperationPattern);
  if (!valid.ok()) return stream->End(ToGrpcStatus(valid));
  absl::StatusOr<v1::Operation> operation = gate_->plane()->GetOperation(name);
  if (!operation.ok()) return stream->End(ToGrpcStatus(operation.status()));
  const bool done = operation->done();
  stream->Push(*std::move(operation));
  if (done) return stream->End(grpc::Status::OK);
  watches_.push_back({name, stream});
}

void OperationService::OnOperation(const v1::Operation& operation) {
  for (const Watch& watch : watches_) {
    if (watch.operation != operation.name()) continue;
    watch.stream->Push(operation);
    if (operation.done()) watch.stream->End(grpc::Status::OK);
  }
  if (!operation.done()) return;
  watches_.remove_if([&operation](const Watch& watch) { return watch.operation == operation.name(); });
  waits_.remove_if([&operation](const Wait& wait) {
    if (wait.operation != operation.name()) return false;
    wait.call->Answer(operation);
    return true;
  });
}

void OperationService::ForgetEnded() {
  waits_.remove_if([](const Wait& wait) { return !wait.call->open(); });
  watches_.remove_if([](const Watch& watch) { return !watch.stream->open(); });
}

}  // namespace greenring::control
