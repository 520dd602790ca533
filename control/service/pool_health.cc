#include "control/service/pool_health.h"

#include <utility>
#include <vector>

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
  std::set<std::string> gone = std::exchange(known_, {});
  const std::vector<v1::Pool> pools = plane_->ListPools();
  for (const v1::Pool& pool : pools) {
    health_->SetServingStatus(pool.name(), IsServing(pool));
    gone.erase(pool.name());
    known_.insert(pool.name());
  }
  for (const std::string& name : gone) health_->SetServingStatus(name, false);
  health_->SetServingStatus("", WhyNotReady(pools).empty());
}

}  // namespace greenring::control
