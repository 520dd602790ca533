#include "control/pool_sockets.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace greenring::control {
namespace {

bool Names(const v1::Pool& pool, const std::string& address) {
  return std::any_of(pool.listeners().begin(), pool.listeners().end(),
                     [&](const v1::Listener& listener) { return listener.address() == address; });
}

}  // namespace

absl::Status PoolSockets::Bind(const v1::Pool& pool, const v1::Pool* also, int slots) {
  std::vector<v1::Listener> listeners(pool.listeners().begin(), pool.listeners().end());
  if (also != nullptr) {
    for (const v1::Listener& listener : also->listeners()) {
      if (!Names(pool, listener.address())) listeners.push_back(listener);
    }
  }
  const absl::Status status = sockets_->Bind(owner_, listeners, slots);
  if (!status.ok()) return status;
  bound_ = std::move(listeners);
  slots_ = slots;
  active_.clear();  // new sockets are of a new group
  return absl::OkStatus();
}

bool PoolSockets::Matches(const v1::Pool& pool, int slots) const {
  return slots == slots_ && static_cast<int>(bound_.size()) == pool.listeners_size() &&
         std::all_of(bound_.begin(), bound_.end(),
                     [&](const v1::Listener& listener) { return Names(pool, listener.address()); });
}

std::vector<SupervisedWorker::Socket> PoolSockets::Of(const v1::Pool& pool, int slot) const {
  std::vector<SupervisedWorker::Socket> result;
  const std::vector<ListeningSockets::Bound> bound = sockets_->Of(owner_, slot);
  for (size_t i = 0; i < bound.size(); ++i) {
    // In the listeners' order, one for each: so what the address was before it was bound can be told.
    if (bound.size() == bound_.size() && !Names(pool, bound_[i].address())) continue;
    result.push_back({bound[i].fd, bound[i].address, bound[i].protocol});
  }
  return result;
}

void PoolSockets::SetActiveSlots(const std::vector<int>& slots, Readiness readiness) {
  if (slots == active_ && readiness == readiness_) return;
  active_ = slots;
  readiness_ = readiness;
  sockets_->SetActiveSlots(owner_, slots, readiness);
}

std::vector<std::string> PoolSockets::BoundAddresses() const {
  std::vector<std::string> result;
  for (const ListeningSockets::Bound& bound : sockets_->Of(owner_, 1)) result.push_back(bound.address);
  return result;
}

std::vector<std::string> PoolSockets::Addresses() const {
  std::vector<std::string> result;
  for (const ListeningSockets::Bound& bound : sockets_->Of(owner_, 1)) {
    const char* const scheme = absl::StartsWith(bound.address, "unix:") ? ""
                               : bound.protocol == v1::Listener::UWSGI  ? "uwsgi://"
                                                                        : "http://";
    result.push_back(absl::StrCat(scheme, bound.address));
  }
  return result;
}

void PoolSockets::Close() {
  if (slots_ == 0) return;
  sockets_->Close(owner_);
  bound_.clear();
  slots_ = 0;
  active_.clear();
}

}  // namespace greenring::control
