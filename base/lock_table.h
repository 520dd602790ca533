// Numbered locks that are held by processes: who waits gets one in the order of asking, and what a process holds is
// free when it ends.
//
//   LockTable locks;
//   locks.Lock(0, worker, [] { ... });          // called when it is granted: now, or after the Unlocks of others
//   absl::Status status = locks.Unlock(0, worker);
//   locks.Drop(worker);                         // it has ended: it holds nothing, and waits for nothing
//
// A lock belongs to its holder, not to a thread of it: when the holder asks once more it waits behind itself, until
// somebody there unlocks. A lock that nobody holds or waits for takes no memory. Not thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>

#include "absl/status/status.h"

namespace greenring {

class LockTable {
 public:
  using Holder = int64_t;
  static constexpr Holder kNobody = 0;

  LockTable() = default;
  LockTable(const LockTable&) = delete;
  LockTable& operator=(const LockTable&) = delete;

  // `granted` may be called before this returns, and may call the table. `holder` is not kNobody (checked).
  void Lock(int lock, Holder holder, std::function<void()> granted);

  // The next in line gets it. FAILED_PRECONDITION: `holder` does not hold it; the message says who does.
  absl::Status Unlock(int lock, Holder holder);

  void Drop(Holder holder);

  bool IsLocked(int lock) const { return locks_.contains(lock); }
  Holder HolderOf(int lock) const;

 private:
  struct Waiter {
    Holder holder;
    std::function<void()> granted;
  };
  struct State {
    Holder holder;
    std::deque<Waiter> line;
  };

  void PassOn(std::map<int, State>::iterator lock);

  std::map<int, State> locks_;  // those that are held
};

}  // namespace greenring
