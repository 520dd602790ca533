#include "control/route_map.h"

#include <algorithm>
#include <iterator>

namespace greenring::control {
namespace {

using Routes = worker::v1::ToWorker::Routes;

constexpr int kOwn = -1;

// The index of `pool` in the message's pools.
int IndexOf(const std::string& pool, Routes* message) {
  const auto place = std::find(message->pools().begin(), message->pools().end(), pool);
  const int index = static_cast<int>(place - message->pools().begin());
  if (place == message->pools().end()) message->add_pools(pool);
  return index;
}

void AddEntries(const std::string& address, const RoutedPool& pool, int index, Routes* message) {
  const auto add = [&]() {
    Routes::Entry* const entry = message->add_entries();
    entry->set_address(address);
    entry->set_pool(index);
    return entry;
  };
  if (pool.routes.empty()) add()->mutable_route();
  for (const v1::Route& route : pool.routes) *add()->mutable_route() = route;
}

// Whose routes hold on an address: those of pools that stay; where all go, they are as they were until the end.
std::vector<const RoutedPool*> StayingOf(const std::vector<const RoutedPool*>& sharing) {
  std::vector<const RoutedPool*> staying;
  std::copy_if(sharing.begin(), sharing.end(), std::back_inserter(staying),
               [](const RoutedPool* pool) { return !pool->deleting; });
  return staying.empty() ? sharing : staying;
}

Routes RoutesFor(const RoutedPool& pool, const std::map<std::string, std::vector<const RoutedPool*>>& owners) {
  Routes message;
  for (const std::string& address : pool.addresses) {
    const std::vector<const RoutedPool*>& sharing = owners.at(address);
    if (sharing.size() == 1 && pool.routes.empty()) continue;
    if (sharing.size() > 1) message.set_has_inbox(true);
    for (const RoutedPool* other : StayingOf(sharing)) {
      AddEntries(address, *other, other == &pool ? kOwn : IndexOf(other->name, &message), &message);
    }
  }
  return message;
}

}  // namespace

std::map<std::string, Routes> RoutesOf(const std::vector<RoutedPool>& pools) {
  std::map<std::string, std::vector<const RoutedPool*>> owners;
  for (const RoutedPool& pool : pools) {
    for (const std::string& address : pool.addresses) {
      std::vector<const RoutedPool*>& sharing = owners[address];
      if (sharing.empty() || sharing.back() != &pool) sharing.push_back(&pool);
    }
  }
  std::map<std::string, Routes> routes;
  for (const RoutedPool& pool : pools) routes[pool.name] = RoutesFor(pool, owners);
  return routes;
}

}  // namespace greenring::control
