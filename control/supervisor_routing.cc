// Pools that share addresses: who serves what, and how connections get there.
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/config/pool_config.h"
#include "control/route_map.h"
#include "control/supervisor.h"

namespace greenring::control {

absl::Status Supervisor::MakeInboxes(const v1::Pool& changed) {
  for (const auto& [name, runner] : runners_) {
    if (name == changed.name() || runner->deleting() || !ShareAddress(runner->desired(), changed)) continue;
    if (absl::Status status = inboxes_.Make(name); !status.ok()) return status;
    if (absl::Status status = inboxes_.Make(changed.name()); !status.ok()) return status;
  }
  return absl::OkStatus();
}

// All inboxes are there before anybody is told of any. MakeInboxes has made them, but where a pool that is about to
// leave an address meets one that has just come.
void Supervisor::OnRoutingChanged() {
  if (stopping_) return;  // all stay as they are until they have drained, though their sockets go
  std::vector<RoutedPool> pools;
  for (const auto& [name, runner] : runners_) pools.push_back(runner->Routed());
  std::map<std::string, worker::v1::ToWorker::Routes> routes_of = RoutesOf(pools);
  for (const auto& [name, message] : routes_of) {
    if (!message.has_inbox()) continue;
    if (absl::Status status = inboxes_.Make(name); !status.ok()) {
      return Warn(name, absl::StrCat("routes stay as they were until the next change: ", status.message()));
    }
  }
  for (auto& [name, message] : routes_of) {
    WorkerRoutes routes;
    if (message.has_inbox()) routes.descriptors.push_back(inboxes_.Find(name)->receiving);
    for (const std::string& other : message.pools()) routes.descriptors.push_back(inboxes_.Find(other)->sending);
    routes.message = std::move(message);
    runners_.at(name)->SetRoutes(routes);
  }
}

}  // namespace greenring::control
