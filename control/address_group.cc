#include "control/address_group.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "control/spread_program.h"

namespace greenring::control {
namespace {

ListeningSocketOptions OptionsOf(const v1::Listener& listener) {
  ListeningSocketOptions options;
  if (listener.backlog() > 0) options.backlog = listener.backlog();
  options.reuse_port = true;
  if (!listener.unix_mode().empty()) {
    options.unix_mode = static_cast<int>(std::strtol(listener.unix_mode().c_str(), nullptr, 8)) & 0777;
  }
  return options;
}

// As the kernel does: the last one takes the place of the one that goes.
template <typename T>
void Remove(const T& member, std::vector<T>* order) {
  const auto place = std::find(order->begin(), order->end(), member);
  *place = std::move(order->back());
  order->pop_back();
}

}  // namespace

absl::StatusOr<std::unique_ptr<AddressGroup>> AddressGroup::Open(const v1::Listener& listener,
                                                                 const std::string& owner) {
  absl::StatusOr<ListeningSocket> first = ListeningSocket::Open(listener.address(), OptionsOf(listener));
  if (!first.ok()) return first.status();
  std::unique_ptr<AddressGroup> group(new AddressGroup(listener));
  if (first->port() == 0) {
    group->unix_ = *std::move(first);
    group->owners_[owner].slots = 1;
  } else {
    group->Add(owner, *std::move(first));
  }
  return group;
}

void AddressGroup::Add(const std::string& owner, ListeningSocket socket) {
  Owner& mine = owners_[owner];
  mine.sockets.push_back(std::move(socket));
  order_.push_back({owner, ++mine.slots});
}

absl::Status AddressGroup::Grow(const std::string& owner, int slots) {
  if (is_unix()) {
    int& mine = owners_[owner].slots;
    mine = std::max(mine, slots);
    return absl::OkStatus();
  }
  // One socket alone has no program; new ones get nothing before the next Spread.
  if (order_.size() == 1 && SlotsOf(owner) < slots) Attach(PlacesIn(order_), order_.size() + 1).IgnoreError();
  while (SlotsOf(owner) < slots) {
    if (order_.size() >= kSpreadPlacesMax) {
      return absl::InvalidArgumentError(absl::StrCat(listener_.address(), " can be shared by ", kSpreadPlacesMax,
                                                     " workers of all its pools together: give them fewer"));
    }
    const Member& any = order_.front();
    absl::StatusOr<ListeningSocket> another = Of(any.owner, any.slot)->OpenAnother(OptionsOf(listener_));
    if (!another.ok()) return another.status();
    Add(owner, *std::move(another));
  }
  return absl::OkStatus();
}

void AddressGroup::Shrink(const std::string& owner, int slots) {
  const auto found = owners_.find(owner);
  if (found == owners_.end() || found->second.slots <= slots) return;
  Owner& mine = found->second;
  if (!is_unix()) {
    // While sockets go others change their places: until it is known who is where, connections go only to places that
    // are right before and after.
    std::vector<Member> after = order_;
    for (int slot = mine.slots; slot > slots; --slot) Remove({owner, slot}, &after);
    const std::vector<int> now = PlacesIn(order_), then = PlacesIn(after);
    std::vector<int> both;
    std::set_intersection(now.begin(), now.end(), then.begin(), then.end(), std::back_inserter(both));
    Attach(both, order_.size()).IgnoreError();  // as well as it can be
    while (mine.slots > slots) {
      // A worker that has not ended yet may have it too: it leaves the group now, not when the last one closes it.
      shutdown(mine.sockets.back().fd(), SHUT_RD);
      mine.sockets.pop_back();
      --mine.slots;
    }
    order_ = std::move(after);
  }
  mine.slots = slots;
  if (slots == 0) owners_.erase(found);
  Spread().IgnoreError();  // what has worked before works again
}

void AddressGroup::Change(const v1::Listener& listener) {
  listener_ = listener;
  const ListeningSocketOptions options = OptionsOf(listener);
  if (is_unix()) {
    listen(unix_.fd(), options.backlog);
    chmod(unix_.address().substr(sizeof("unix:") - 1).c_str(), static_cast<mode_t>(options.unix_mode));
  }
  for (const auto& [name, owner] : owners_) {
    for (const ListeningSocket& socket : owner.sockets) listen(socket.fd(), options.backlog);
  }
}

void AddressGroup::SetActive(const std::string& owner, const Active& active) {
  if (const auto found = owners_.find(owner); found != owners_.end()) found->second.active = active;
}

std::vector<int> AddressGroup::PlacesIn(const std::vector<Member>& order) const {
  Readiness best = Readiness::kNever;
  for (const Member& member : order) best = std::max(best, owners_.at(member.owner).active.readiness);
  std::vector<int> places;
  for (size_t place = 0; place < order.size(); ++place) {
    const Active& active = owners_.at(order[place].owner).active;
    const bool has_slot = active.slots.empty() ||
                          std::find(active.slots.begin(), active.slots.end(), order[place].slot) != active.slots.end();
    if (active.readiness == best && has_slot) places.push_back(static_cast<int>(place));
  }
  return places;
}

absl::Status AddressGroup::Attach(const std::vector<int>& places, size_t group_size) const {
  if (places.empty()) return absl::OkStatus();
  const Member& any = order_.front();
  return AttachSpreadProgram(Of(any.owner, any.slot)->fd(), places, group_size);
}

absl::Status AddressGroup::Spread() const {
  const std::vector<int> places = PlacesIn(order_);
  for (size_t place = 0; place < order_.size(); ++place) {
    // Whoever is not given any more connections has those whose first bytes have not come yet in its queue, too.
    const bool is_active = std::binary_search(places.begin(), places.end(), static_cast<int>(place));
    const int defer_seconds = is_active ? 1 : 0;
    const ListeningSocket& socket = *Of(order_[place].owner, order_[place].slot);
    setsockopt(socket.fd(), IPPROTO_TCP, TCP_DEFER_ACCEPT, &defer_seconds, sizeof(defer_seconds));
  }
  return Attach(places, order_.size());
}

int AddressGroup::SlotsOf(const std::string& owner) const {
  const auto found = owners_.find(owner);
  return found == owners_.end() ? 0 : found->second.slots;
}

const ListeningSocket* AddressGroup::Of(const std::string& owner, int slot) const {
  if (slot < 1 || slot > SlotsOf(owner)) return nullptr;
  return is_unix() ? &unix_ : &owners_.at(owner).sockets[static_cast<size_t>(slot) - 1];
}

}  // namespace greenring::control
