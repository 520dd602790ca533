// The listening sockets of one pool: which are bound, which of them a worker gets, and where new connections go.
//
// While workers with other listeners take over, the old ones and the new ones are bound both: nothing is refused
// whether the change succeeds or is rolled back. On the reactor's thread only; nothing blocks.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "control/listening_sockets.h"
#include "control/supervised_worker.h"
#include "greenring/control/v1/pool.pb.h"

namespace greenring::control {

class PoolSockets {
 public:
  PoolSockets(ListeningSockets* sockets, std::string owner) : sockets_(sockets), owner_(std::move(owner)) {}

  // What `pool` listens on, and what `also` does, for so many slots; nothing else any more. On an error everything is
  // as it was.
  absl::Status Bind(const v1::Pool& pool, const v1::Pool* also, int slots);

  // Whether exactly that is bound.
  bool Matches(const v1::Pool& pool, int slots) const;

  // For how many slots they are bound; 0: none are.
  int slots() const { return slots_; }

  std::vector<SupervisedWorker::Socket> Of(const v1::Pool& pool, int slot) const;

  // New connections go to these only; where other pools have the address, too, to the readiest of them.
  void SetActiveSlots(const std::vector<int>& slots, Readiness readiness);

  // Whether another pool has any of its addresses.
  bool IsShared() const { return sockets_->IsShared(owner_); }

  // As bound, for workers: "127.0.0.1:8080"; and for people: "http://127.0.0.1:8080".
  std::vector<std::string> BoundAddresses() const;
  std::vector<std::string> Addresses() const;

  void Close();

 private:
  ListeningSockets* const sockets_;
  const std::string owner_;
  std::vector<v1::Listener> bound_;
  int slots_ = 0;
  std::vector<int> active_;
  Readiness readiness_ = Readiness::kSoon;
};

}  // namespace greenring::control
