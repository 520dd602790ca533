#include "control/listening_sockets.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/listening_socket.h"
#include "control/spread_program.h"

namespace greenring::control {
namespace {

// The sockets of a server that was killed live on until the kernel has torn its workers' rings down: an address in use
// is tried again for so long from the start of this one.
constexpr absl::Duration kAddressInUsePatience = absl::Seconds(1);

ListeningSocketOptions OptionsOf(const v1::Listener& listener) {
  ListeningSocketOptions options;
  if (listener.backlog() > 0) options.backlog = listener.backlog();
  options.reuse_port = true;
  if (!listener.unix_mode().empty()) {
    options.unix_mode = static_cast<int>(std::strtol(listener.unix_mode().c_str(), nullptr, 8)) & 0777;
  }
  return options;
}

// One address: of TCP a socket for each slot, of a unix socket one for all.
class Group {
 public:
  explicit Group(const v1::Listener& listener) : listener_(listener) {}

  const v1::Listener& listener() const { return listener_; }
  bool is_unix() const { return sockets_.front().port() == 0; }
  size_t size() const { return sockets_.size(); }

  absl::Status Open() {
    absl::StatusOr<ListeningSocket> first = ListeningSocket::Open(listener_.address(), OptionsOf(listener_));
    if (!first.ok()) return first.status();
    Add(*std::move(first));
    return absl::OkStatus();
  }

  // For so many slots, or more.
  absl::Status Grow(int slots) {
    while (!is_unix() && static_cast<int>(sockets_.size()) < slots) {
      absl::StatusOr<ListeningSocket> another = sockets_.front().OpenAnother(OptionsOf(listener_));
      if (!another.ok()) return another.status();
      Add(*std::move(another));
    }
    return absl::OkStatus();
  }

  // For so many slots at most.
  void Shrink(size_t slots) {
    while (!is_unix() && sockets_.size() > std::max<size_t>(slots, 1)) {
      // A worker that has not ended yet may have it too: it leaves the group now, not when the last one closes it.
      shutdown(sockets_.back().fd(), SHUT_RD);
      const auto place = std::find(order_.begin(), order_.end(), static_cast<int>(sockets_.size()));
      *place = order_.back();  // as the kernel does
      order_.pop_back();
      sockets_.pop_back();
    }
  }

  // What of a listener can be changed while it listens.
  void Change(const v1::Listener& listener) {
    listener_ = listener;
    const ListeningSocketOptions options = OptionsOf(listener);
    for (const ListeningSocket& socket : sockets_) listen(socket.fd(), options.backlog);
    if (is_unix())
      chmod(sockets_.front().address().substr(sizeof("unix:") - 1).c_str(), static_cast<mode_t>(options.unix_mode));
  }

  const ListeningSocket& Of(int slot) const { return sockets_[is_unix() ? 0 : static_cast<size_t>(slot) - 1]; }

  // New connections go to `active`; to all when it is empty.
  absl::Status Spread(const std::vector<int>& active) const {
    if (is_unix()) return absl::OkStatus();
    std::vector<int> places;
    for (size_t place = 0; place < order_.size(); ++place) {
      const bool is_active = active.empty() || std::find(active.begin(), active.end(), order_[place]) != active.end();
      if (is_active) places.push_back(static_cast<int>(place));
      // Whoever is not given any more connections has those whose first bytes have not come yet in its queue, too.
      const int defer_seconds = is_active ? 1 : 0;
      setsockopt(Of(order_[place]).fd(), IPPROTO_TCP, TCP_DEFER_ACCEPT, &defer_seconds, sizeof(defer_seconds));
    }
    return places.empty() ? absl::OkStatus() : AttachSpreadProgram(sockets_.front().fd(), places, order_.size());
  }

 private:
  void Add(ListeningSocket socket) {
    sockets_.push_back(std::move(socket));
    order_.push_back(static_cast<int>(sockets_.size()));
  }

  v1::Listener listener_;
  std::vector<ListeningSocket> sockets_;  // of slots 1, 2, ...
  std::vector<int> order_;                // the slots as the kernel has them in the SO_REUSEPORT group
};

class SocketTable final : public ListeningSockets {
 public:
  absl::Status Bind(const std::string& owner, const std::vector<v1::Listener>& listeners, int slots) override;
  std::vector<Bound> Of(const std::string& owner, int slot) const override;
  void SetActiveSlots(const std::string& owner, const std::vector<int>& slots) override;
  void Close(const std::string& owner) override { owners_.erase(owner); }

 private:
  struct Owner {
    std::vector<std::unique_ptr<Group>> groups;  // as the listeners
    std::vector<int> active;                     // empty: all
  };

  absl::StatusOr<std::unique_ptr<Group>> Open(const v1::Listener& listener, int slots) const;

  const absl::Time made_ = absl::Now();
  std::map<std::string, Owner> owners_;
};

absl::StatusOr<std::unique_ptr<Group>> SocketTable::Open(const v1::Listener& listener, int slots) const {
  auto group = std::make_unique<Group>(listener);
  absl::Status status = group->Open();
  while (absl::IsAlreadyExists(status) && absl::Now() < made_ + kAddressInUsePatience) {
    absl::SleepFor(absl::Milliseconds(20));
    status = group->Open();
  }
  if (status.ok()) status = group->Grow(slots);
  if (!status.ok()) return status;
  return group;
}

absl::Status SocketTable::Bind(const std::string& owner, const std::vector<v1::Listener>& listeners, int slots) {
  Owner& mine = owners_[owner];
  std::vector<std::unique_ptr<Group>> opened(listeners.size());
  std::vector<Group*> kept(listeners.size());
  std::vector<size_t> sizes(listeners.size());
  absl::Status status;
  for (size_t i = 0; i < listeners.size() && status.ok(); ++i) {
    const auto old = std::find_if(mine.groups.begin(), mine.groups.end(), [&](const std::unique_ptr<Group>& group) {
      return group->listener().address() == listeners[i].address() &&
             std::find(kept.begin(), kept.end(), group.get()) == kept.end();
    });
    if (old != mine.groups.end()) {
      kept[i] = old->get();
      sizes[i] = kept[i]->size();
      status = kept[i]->Grow(slots);
    } else if (absl::StatusOr<std::unique_ptr<Group>> group = Open(listeners[i], slots); group.ok()) {
      opened[i] = *std::move(group);
    } else {
      status = group.status();
    }
  }
  if (!status.ok()) {
    for (size_t i = 0; i < kept.size(); ++i) {
      if (kept[i] != nullptr) kept[i]->Shrink(sizes[i]);
    }
    if (mine.groups.empty()) owners_.erase(owner);
    return status;
  }
  for (size_t i = 0; i < listeners.size(); ++i) {
    if (kept[i] == nullptr) continue;
    kept[i]->Shrink(static_cast<size_t>(slots));
    kept[i]->Change(listeners[i]);
    opened[i] = std::move(*std::find_if(mine.groups.begin(), mine.groups.end(),
                                        [&](const std::unique_ptr<Group>& group) { return group.get() == kept[i]; }));
  }
  mine.groups = std::move(opened);
  for (const std::unique_ptr<Group>& group : mine.groups) {
    if (absl::Status spread = group->Spread(mine.active); !spread.ok()) return spread;
  }
  return absl::OkStatus();
}

std::vector<ListeningSockets::Bound> SocketTable::Of(const std::string& owner, int slot) const {
  std::vector<Bound> bound;
  const auto found = owners_.find(owner);
  if (found == owners_.end()) return bound;
  for (const std::unique_ptr<Group>& group : found->second.groups) {
    if (!group->is_unix() && (slot < 1 || static_cast<size_t>(slot) > group->size())) continue;
    const ListeningSocket& socket = group->Of(slot);
    bound.push_back({socket.fd(), socket.address(), group->listener().protocol()});
  }
  return bound;
}

void SocketTable::SetActiveSlots(const std::string& owner, const std::vector<int>& slots) {
  const auto found = owners_.find(owner);
  if (found == owners_.end() || found->second.active == slots) return;
  found->second.active = slots;
  // What has worked in Bind works again.
  for (const std::unique_ptr<Group>& group : found->second.groups) group->Spread(slots).IgnoreError();
}

}  // namespace

std::unique_ptr<ListeningSockets> MakeListeningSockets() { return std::make_unique<SocketTable>(); }

}  // namespace greenring::control
