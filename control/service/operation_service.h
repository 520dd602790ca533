// greenring.control.v1.OperationService. A wait or a watch is an entry in a list on the reactor's thread, not a thread.
// Its methods are called by gRPC's threads and never block; constructor, Stop and destructor are for the reactor's.
#pragma once

#include <list>
#include <memory>

#include "control/lifetime.h"
#include "control/service/gate.h"
#include "control/service/write_stream.h"
#include "greenring/control/v1/operation_service.grpc.pb.h"

namespace greenring::control {

class OperationService final : public v1::OperationService::CallbackService, public ControlPlane::Observer {
 public:
  explicit OperationService(Gate* gate);
  ~OperationService() override;

  // Observes no more. The calls that wait are OpenCalls' to end.
  void Stop();

 private:
  using Context = grpc::CallbackServerContext;
  using Answer = grpc::ServerUnaryReactor;
  using Stream = WriteStream<v1::Operation>;
  struct Wait;

  Answer* ListOperations(Context*, const v1::ListOperationsRequest*, v1::ListOperationsResponse*) override;
  Answer* GetOperation(Context*, const v1::GetOperationRequest*, v1::Operation*) override;
  Answer* WaitOperation(Context*, const v1::WaitOperationRequest*, v1::Operation*) override;
  grpc::ServerWriteReactor<v1::Operation>* WatchOperation(Context*, const v1::GetOperationRequest*) override;
  Answer* CancelOperation(Context*, const v1::CancelOperationRequest*, v1::Operation*) override;

  void BeginWait(const v1::WaitOperationRequest& request, std::shared_ptr<UnaryCall<v1::Operation>> call);
  void EndWait(const Wait* wait);
  void BeginWatch(const std::string& name, const std::shared_ptr<Stream>& stream);
  void ForgetEnded();

  void OnEvent(const v1::Event& event) override {}
  void OnOperation(const v1::Operation& operation) override;

  struct Watch {
    std::string operation;
    std::shared_ptr<Stream> stream;
  };

  Gate* const gate_;
  bool stopped_ = false;
  std::list<Wait> waits_;
  std::list<Watch> watches_;
  const Lifetime lifetime_;
};

}  // namespace greenring::control
