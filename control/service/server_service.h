// greenring.control.v1.ServerService. Its methods are called by gRPC's threads and never block; constructor, Stop and
// destructor are for the reactor's.
#pragma once

#include <list>
#include <memory>

#include "control/lifetime.h"
#include "control/service/gate.h"
#include "control/service/watcher.h"
#include "greenring/control/v1/server_service.grpc.pb.h"

namespace greenring::control {

class ServerService final : public v1::ServerService::CallbackService {
 public:
  explicit ServerService(Gate* gate) : gate_(gate) {}

  // Watches no more. The calls that wait are OpenCalls' to end.
  void Stop();

 private:
  using Context = grpc::CallbackServerContext;
  using Answer = grpc::ServerUnaryReactor;

  Answer* GetServer(Context*, const v1::GetServerRequest*, v1::Server*) override;
  grpc::ServerWriteReactor<v1::WatchResponse>* Watch(Context*, const v1::WatchRequest*) override;
  Answer* ListEvents(Context*, const v1::ListEventsRequest*, v1::ListEventsResponse*) override;
  Answer* ListStatistics(Context*, const v1::ListStatisticsRequest*, v1::ListStatisticsResponse*) override;

  void BeginWatch(const v1::WatchRequest& request, const std::shared_ptr<WatchStream>& stream);
  void ForgetEnded();

  Gate* const gate_;
  bool stopped_ = false;
  std::list<std::unique_ptr<Watcher>> watchers_;
  const Lifetime lifetime_;
};

}  // namespace greenring::control
