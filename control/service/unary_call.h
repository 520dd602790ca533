// A call with one answer, which may come later and from another thread than the call.
//
//   std::shared_ptr<UnaryCall<v1::Stack>> call = UnaryCall<v1::Stack>::Begin(calls, response);
//   plane->GetStack(name, [call](absl::StatusOr<v1::Stack> stack) { call->Answer(std::move(stack)); });
//   return call.get();                                                          // to gRPC
//
// It ends once: by its answer, because its client has gone or its deadline has passed, or because the server stops. An
// answer that comes after that is dropped. Thread-safe; never blocks.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "control/service/open_calls.h"
#include "control/service/status.h"
#include "grpcpp/support/server_callback.h"

namespace greenring::control {

template <typename Response>
class UnaryCall final : public grpc::ServerUnaryReactor, public OpenCall {
 public:
  // `response` is gRPC's. `abandoned`, if given, is called once, on any thread, when the call ends without an answer.
  static std::shared_ptr<UnaryCall> Begin(std::shared_ptr<OpenCalls> calls, Response* response,
                                          std::function<void()> abandoned = nullptr) {
    std::shared_ptr<UnaryCall> call(new UnaryCall(calls, response, std::move(abandoned)));
    calls->Add(call);
    return call;
  }

  // Whether anybody still waits for the answer.
  bool open() const { return !ended_.load(std::memory_order_acquire); }

  void Answer(absl::StatusOr<Response> answer) {
    if (ended_.exchange(true)) return;
    if (answer.ok()) *response_ = *std::move(answer);
    Finish(ToGrpcStatus(answer.status()));
  }

  void Abort(const grpc::Status& status) override {
    if (ended_.exchange(true)) return;
    if (abandoned_) abandoned_();
    Finish(status);
  }

 private:
  UnaryCall(std::shared_ptr<OpenCalls> calls, Response* response, std::function<void()> abandoned)
      : calls_(std::move(calls)), response_(response), abandoned_(std::move(abandoned)) {}

  void OnCancel() override { Abort(grpc::Status::CANCELLED); }
  void OnDone() override { calls_->Remove(this); }

  const std::shared_ptr<OpenCalls> calls_;
  Response* const response_;  // until Finish has been called
  const std::function<void()> abandoned_;
  std::atomic<bool> ended_{false};
};

}  // namespace greenring::control
