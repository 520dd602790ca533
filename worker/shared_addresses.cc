#include "worker/shared_addresses.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "worker/descriptors.h"
#include "worker/route_table.h"

namespace greenring::worker {

void SharedAddresses::Apply(const v1::ToWorker::Routes& routes, std::vector<UniqueFd> descriptors) {
  GREENRING_CHECK(descriptors.size() == DescriptorsOf(routes));
  std::map<std::string, RouteTable> tables;
  for (const v1::ToWorker::Routes::Entry& entry : routes.entries()) {
    if (entry.pool() < -1 || entry.pool() >= routes.pools_size()) {
      error_log_->Message(absl::StrCat("the master has sent a route of ", entry.address(), " to pool ", entry.pool(),
                                       ", which it has not named; the route is left out"));
      continue;
    }
    // This worker's own is -1 there and 0 here; the others follow.
    static_assert(RouteTable::kOwnPool == 0);
    tables[entry.address()].Add({.host = entry.route().host(), .path_prefix = entry.route().path_prefix()},
                                entry.pool() + 1);
  }

  auto descriptor = descriptors.begin();
  for (const auto& inbox : inboxes_) inbox->Stop();
  if (routes.has_inbox()) {
    // A worker that drains leaves to others what waits there.
    if (!stopping_) {
      inboxes_.emplace_back(new Inbox(loop_, std::move(*descriptor), this));
      inboxes_.back()->Start();
    }
    ++descriptor;
  }
  pools_.clear();
  for (const std::string& pool : routes.pools()) pools_.push_back({.name = pool, .inbox = std::move(*descriptor++)});
  service_->SetRoutes(tables);
}

absl::Status SharedAddresses::HandOver(int pool, const HandedConnection& connection) {
  const Pool& to = pools_[static_cast<size_t>(pool - 1)];
  const absl::Status status = SendConnection(to.inbox.get(), connection);
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat("the request is ", to.name, "'s: ", status.message()));
}

void SharedAddresses::Stop() {
  stopping_ = true;
  for (const auto& inbox : inboxes_) inbox->Stop();
}

void SharedAddresses::OnLost(const std::string& why) {
  error_log_->Message(absl::StrCat("a connection that another pool has handed over is lost: ", why));
}

void SharedAddresses::OnInboxStopped(Inbox* inbox) {
  std::erase_if(inboxes_, [inbox](const auto& candidate) { return candidate.get() == inbox; });
  if (stopping_ && inboxes_.empty()) service_->OnNeighboursStopped();
}

}  // namespace greenring::worker
