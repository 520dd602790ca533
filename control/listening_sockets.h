// The listening sockets of all pools: they outlive every worker, so that connections wait instead of failing.
//
// A TCP address has one socket for each worker slot, in one SO_REUSEPORT group (socket(7)), and a program that spreads
// new connections over the slots that have a worker: each worker waits for connections of its own, none is woken in
// vain. A unix socket is one for all.
//
// Several owners may name the same address, but for port 0: its group has the slots of all of them. Addresses are the
// same when they are so in words (Address::Normalised); names are not resolved for that. On the reactor's thread only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "greenring/control/v1/pool.pb.h"

namespace greenring::control {

// How soon somebody accepts what comes in on an owner's active slots.
enum class Readiness {
  kNever,  // not before somebody does something: the pool is drained, or its application cannot be imported
  kSoon,   // its workers start
  kNow,
};

class ListeningSockets {
 public:
  virtual ~ListeningSockets() = default;

  // Binds what `listeners` names, for worker slots 1 to `slots`; what is bound already by the same `owner` is kept, and
  // what it does not name any more is closed. On an error (in words, with the address) everything is as it was.
  virtual absl::Status Bind(const std::string& owner, const std::vector<v1::Listener>& listeners, int slots) = 0;

  // The descriptors that the worker of `slot` accepts from, with their addresses as bound; in the listeners' order.
  struct Bound {
    int fd;
    std::string address;
    v1::Listener::Protocol protocol;
  };
  virtual std::vector<Bound> Of(const std::string& owner, int slot) const = 0;

  // New connections go to these slots of its owner only (empty: to all); and where others have the address, too, only
  // to those of the owners who are readiest. (Before a slot's worker stops, and after one is ready.) Until it is called
  // an owner is ready kSoon in all slots.
  virtual void SetActiveSlots(const std::string& owner, const std::vector<int>& slots, Readiness readiness) = 0;

  // Whether another owner has any of its addresses.
  virtual bool IsShared(const std::string& owner) const = 0;

  virtual void Close(const std::string& owner) = 0;
};

std::unique_ptr<ListeningSockets> MakeListeningSockets();

}  // namespace greenring::control
