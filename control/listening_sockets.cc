#include "control/listening_sockets.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "control/address_group.h"
#include "control/config/address.h"

namespace greenring::control {
namespace {

// The sockets of a server that was killed live on until the kernel has torn its workers' rings down: an address in use
// is tried again for so long from the start of this one.
constexpr absl::Duration kAddressInUsePatience = absl::Seconds(1);

// Nothing for what is no address, and for port 0, which is another one each time.
std::optional<std::string> KeyOf(const v1::Listener& listener) {
  std::string problem;
  const std::optional<Address> address = ParseAddress(listener.address(), &problem);
  if (!address.has_value() || (!address->is_unix && address->port == 0)) return std::nullopt;
  return address->Normalised();
}

using Groups = std::vector<std::shared_ptr<AddressGroup>>;

bool Has(const Groups& groups, const std::shared_ptr<AddressGroup>& group) {
  return std::find(groups.begin(), groups.end(), group) != groups.end();
}

class SocketTable final : public ListeningSockets {
 public:
  absl::Status Bind(const std::string& owner, const std::vector<v1::Listener>& listeners, int slots) override;
  std::vector<Bound> Of(const std::string& owner, int slot) const override;
  void SetActiveSlots(const std::string& owner, const std::vector<int>& slots, Readiness readiness) override;
  bool IsShared(const std::string& owner) const override;
  void Close(const std::string& owner) override;

 private:
  struct Owner {
    Groups groups;  // as the listeners
    AddressGroup::Active active;
  };

  // One that is there already, of `mine` or of others; those in `taken` are a port 0 of another listener.
  std::shared_ptr<AddressGroup> Find(const Owner& mine, const v1::Listener& listener, const Groups& taken) const;
  absl::StatusOr<std::shared_ptr<AddressGroup>> Open(const v1::Listener& listener, const std::string& owner) const;

  const absl::Time made_ = absl::Now();
  std::map<std::string, Owner> owners_;  // a group goes with the last one
};

std::shared_ptr<AddressGroup> SocketTable::Find(const Owner& mine, const v1::Listener& listener,
                                                const Groups& taken) const {
  const std::optional<std::string> key = KeyOf(listener);
  if (!key.has_value()) {
    for (const std::shared_ptr<AddressGroup>& group : mine.groups) {
      if (group->listener().address() == listener.address() && !Has(taken, group)) return group;
    }
    return nullptr;
  }
  for (const auto& [name, owner] : owners_) {
    for (const std::shared_ptr<AddressGroup>& group : owner.groups) {
      if (KeyOf(group->listener()) == key) return group;
    }
  }
  return nullptr;
}

absl::StatusOr<std::shared_ptr<AddressGroup>> SocketTable::Open(const v1::Listener& listener,
                                                                const std::string& owner) const {
  absl::StatusOr<std::unique_ptr<AddressGroup>> group = AddressGroup::Open(listener, owner);
  while (absl::IsAlreadyExists(group.status()) && absl::Now() < made_ + kAddressInUsePatience) {
    absl::SleepFor(absl::Milliseconds(20));
    group = AddressGroup::Open(listener, owner);
  }
  if (!group.ok()) return group.status();
  return *std::move(group);
}

absl::Status SocketTable::Bind(const std::string& owner, const std::vector<v1::Listener>& listeners, int slots) {
  Owner& mine = owners_[owner];
  Groups groups;
  std::vector<int> sizes;  // before
  absl::Status status;
  for (size_t i = 0; i < listeners.size() && status.ok(); ++i) {
    std::shared_ptr<AddressGroup> group = Find(mine, listeners[i], groups);
    const int size = group == nullptr ? 0 : group->SlotsOf(owner);
    if (group == nullptr) {
      absl::StatusOr<std::shared_ptr<AddressGroup>> opened = Open(listeners[i], owner);
      if (status = opened.status(); !status.ok()) break;
      group = *std::move(opened);
    }
    groups.push_back(group);
    sizes.push_back(size);
    status = group->Grow(owner, slots);
  }
  if (!status.ok()) {
    for (size_t i = groups.size(); i-- > 0;) groups[i]->Shrink(owner, sizes[i]);
    if (mine.groups.empty()) owners_.erase(owner);
    return status;
  }
  for (size_t i = 0; i < groups.size(); ++i) {
    groups[i]->Shrink(owner, slots);
    groups[i]->Change(listeners[i]);
  }
  for (const std::shared_ptr<AddressGroup>& old : std::exchange(mine.groups, groups)) {
    if (!Has(groups, old)) old->Shrink(owner, 0);
  }
  for (const std::shared_ptr<AddressGroup>& group : groups) {
    group->SetActive(owner, mine.active);
    if (absl::Status spread = group->Spread(); !spread.ok()) return spread;
  }
  return absl::OkStatus();
}

std::vector<ListeningSockets::Bound> SocketTable::Of(const std::string& owner, int slot) const {
  std::vector<Bound> bound;
  const auto found = owners_.find(owner);
  if (found == owners_.end()) return bound;
  for (const std::shared_ptr<AddressGroup>& group : found->second.groups) {
    const ListeningSocket* socket = group->Of(owner, slot);
    if (socket != nullptr) bound.push_back({socket->fd(), socket->address(), group->listener().protocol()});
  }
  return bound;
}

void SocketTable::SetActiveSlots(const std::string& owner, const std::vector<int>& slots, Readiness readiness) {
  const auto found = owners_.find(owner);
  if (found == owners_.end()) return;
  AddressGroup::Active active = {.slots = slots, .readiness = readiness};
  if (found->second.active == active) return;
  found->second.active = std::move(active);
  for (const std::shared_ptr<AddressGroup>& group : found->second.groups) {
    group->SetActive(owner, found->second.active);
    group->Spread().IgnoreError();  // what has worked in Bind works again
  }
}

bool SocketTable::IsShared(const std::string& owner) const {
  const auto found = owners_.find(owner);
  return found != owners_.end() &&
         std::any_of(found->second.groups.begin(), found->second.groups.end(),
                     [](const std::shared_ptr<AddressGroup>& group) { return group->IsShared(); });
}

void SocketTable::Close(const std::string& owner) {
  const auto mine = owners_.extract(owner);
  if (mine.empty()) return;
  for (const std::shared_ptr<AddressGroup>& group : mine.mapped().groups) {
    if (group->IsShared()) group->Shrink(owner, 0);
  }
}

}  // namespace

std::unique_ptr<ListeningSockets> MakeListeningSockets() { return std::make_unique<SocketTable>(); }

}  // namespace greenring::control
