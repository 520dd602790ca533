#include "control/service/pool_health.h"

#include <utility>

#include "control/readiness.h"

namespace greenring::control {

PoolHealth::PoolHealth(Reactor* reactor, ControlPlane* plane, grpc::HealthCheckServiceInterface* health)
    : reactor_(reactor), plane_(plane), health_(health) {
  plane_->AddObserver(this);
  Refresh();
}

PoolHealth::~PoolHealth() { plane_->RemoveObserver(this); }

void PoolHealth::RefreshSoon() {
  if (std::exchange(refreshing_, true)) return;
  reactor_->Post(lifetime_.Guard([this] { Refresh(); }));
}

void PoolHealth::Refresh() {
  refreshing_ = false;
  bool all = true;
  std::set<std::string> gone = std::exchange(known_, {});
  for (const v1::Pool& pool : plane_->ListPools()) {
    const bool serving = IsServing(pool);
    all = all && serving;
    health_->SetServingStatus(pool.name(), serving);
    gone.erase(pool.name());
    known_.insert(pool.name());
  }
  for (const std::string& name : gone) health_->SetServingStatus(name, false);
  health_->SetServingStatus("", all);
}

}  // namespace greenring::control
