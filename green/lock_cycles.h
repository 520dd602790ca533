// Deadlocks: green threads that wait for locks which they hold themselves, in a circle.
//
//   for (const LockCycle& cycle : FindLockCycles(scheduler)) ...
//
//   LockWatch watch(&scheduler, [&](const LockCycle& cycle) { ... });       // tells of each once
//   ...
//   LockWatch::OnWait(&scheduler);                                        // somebody begins to wait for a lock
//
// A circle is a probable deadlock, not a certain one: CPython's locks may be released by anybody, a wait may end by its
// timeout, and holders are remembered by a table that may err (lock_holders.h). Who waits for a lock that it holds
// itself is none: that is how Python's conditions and events are built.
//
// Scheduler's thread only. Never parks.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <vector>

#include "base/clock.h"
#include "green/green_thread.h"
#include "green/scheduler.h"

namespace greenring::green {

// In their order: each waits for what the next one holds, the last for the first. Valid until something is switched.
using LockCycle = std::vector<const GreenThread*>;

// Those all of whose members have waited for at least `waited_ns_min`. Looks at every green thread.
std::vector<LockCycle> FindLockCycles(const Scheduler& scheduler, int64_t waited_ns_min = 0);

// Looks for cycles a while after somebody has begun to wait for a lock. While nobody waits it costs nothing; else one
// look at all green threads in kPatienceNs.
class LockWatch {
 public:
  // `on_cycle` is called in the loop's context, once for a cycle. At most one watch for a scheduler, which outlives it.
  LockWatch(Scheduler* scheduler, std::function<void(const LockCycle& cycle)> on_cycle);
  ~LockWatch();
  LockWatch(const LockWatch&) = delete;
  LockWatch& operator=(const LockWatch&) = delete;

  // The current green thread is about to wait for a lock.
  static void OnWait(Scheduler* scheduler) {
    if (LockWatch* const watch = scheduler->lock_watch(); watch != nullptr && !watch->timer_.armed()) watch->Arm();
  }

  // So long after a wait has begun there is a look, and again while there are waits which that one found too young:
  // each is looked at before it is twice as old.
  static constexpr int64_t kPatienceNs = kNanosecondsPerSecond;
  static constexpr int64_t kLastedNs = kPatienceNs / 2;

 private:
  struct WatchTimer : Timer {
    explicit WatchTimer(LockWatch* watch)
        : Timer([](Timer* timer) { static_cast<WatchTimer*>(timer)->watch->Look(); }), watch(watch) {}
    LockWatch* const watch;
  };

  void Arm();
  void Look();
  // Whether somebody waits for a lock who has not been looked at yet.
  bool SomebodyIsNew() const;

  Scheduler* const scheduler_;
  const std::function<void(const LockCycle& cycle)> on_cycle_;
  WatchTimer timer_{this};
  std::set<std::vector<uint64_t>> told_;  // of the cycles that there are: their members' ids
};

}  // namespace greenring::green
