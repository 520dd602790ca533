// grpc.health.v1, kept as the pools are: "" for all of them together, "pools/web" for one. On the reactor's thread
// only.
#pragma once

#include <set>
#include <string>

#include "control/control_plane.h"
#include "control/lifetime.h"
#include "control/reactor.h"
#include "grpcpp/health_check_service_interface.h"

namespace greenring::control {

class PoolHealth final : public ControlPlane::Observer {
 public:
  // Follows the pools from now on, until it is deleted.
  PoolHealth(Reactor* reactor, ControlPlane* plane, grpc::HealthCheckServiceInterface* health);
  PoolHealth(const PoolHealth&) = delete;
  PoolHealth& operator=(const PoolHealth&) = delete;
  ~PoolHealth();

 private:
  void OnEvent(const v1::Event& event) override { RefreshSoon(); }
  void OnOperation(const v1::Operation& operation) override { RefreshSoon(); }

  // Once for all that happens in one turn of the reactor, and after the control plane has done what it tells of.
  void RefreshSoon();
  void Refresh();

  Reactor* const reactor_;
  ControlPlane* const plane_;
  grpc::HealthCheckServiceInterface* const health_;
  std::set<std::string> known_;  // the names that the health service was told of
  bool refreshing_ = false;
  const Lifetime lifetime_;
};

}  // namespace greenring::control
