// The listening sockets of one address, which one or several owners have: of TCP one for each worker slot of each
// owner, in one SO_REUSEPORT group (socket(7)) with a program that spreads new connections; of a unix socket one for
// all.
//
//   absl::StatusOr<std::unique_ptr<AddressGroup>> group = AddressGroup::Open(listener, "pools/web");
//   (*group)->Grow("pools/web", 2);                  // slots 1 and 2
//   (*group)->Grow("pools/shop", 1);
//   (*group)->SetActive("pools/web", {.slots = {1}, .readiness = Readiness::kNow});   // all new connections go there
//
// On the reactor's thread only. Open may ask the resolver, which blocks.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/listening_socket.h"
#include "control/listening_sockets.h"
#include "greenring/control/v1/pool.pb.h"

namespace greenring::control {

class AddressGroup {
 public:
  struct Active {
    std::vector<int> slots = {};  // empty: all
    Readiness readiness = Readiness::kSoon;
    bool operator==(const Active&) const = default;
  };

  // Binds it, with slot 1 of `owner`.
  static absl::StatusOr<std::unique_ptr<AddressGroup>> Open(const v1::Listener& listener, const std::string& owner);

  // Slots 1 to `slots` of `owner`, or more; an owner that is new gets connections with the next Spread. What is there
  // after an error is for Shrink.
  absl::Status Grow(const std::string& owner, int slots);

  // Slots 1 to `slots` at most; with 0 `owner` is none any more. What waits in sockets that go is lost.
  void Shrink(const std::string& owner, int slots);

  // What of a listener can be changed while it listens.
  void Change(const v1::Listener& listener);

  // New connections go to the active slots of those owners that are readiest.
  void SetActive(const std::string& owner, const Active& active);
  absl::Status Spread() const;

  const v1::Listener& listener() const { return listener_; }
  int SlotsOf(const std::string& owner) const;  // 0: it is no owner
  bool IsShared() const { return owners_.size() > 1; }
  const ListeningSocket* Of(const std::string& owner, int slot) const;  // null: it has no such slot

 private:
  struct Owner {
    int slots = 0;
    std::vector<ListeningSocket> sockets;  // of slots 1, 2, ...; none for a unix socket
    Active active;
  };
  struct Member {
    std::string owner;
    int slot;
    bool operator==(const Member&) const = default;
  };

  explicit AddressGroup(const v1::Listener& listener) : listener_(listener) {}

  bool is_unix() const { return unix_.fd() >= 0; }
  void Add(const std::string& owner, ListeningSocket socket);
  // The places in `order` that get connections.
  std::vector<int> PlacesIn(const std::vector<Member>& order) const;
  absl::Status Attach(const std::vector<int>& places, size_t group_size) const;

  v1::Listener listener_;
  ListeningSocket unix_;
  std::map<std::string, Owner> owners_;
  std::vector<Member> order_;  // as the kernel has them in the SO_REUSEPORT group
};

}  // namespace greenring::control
