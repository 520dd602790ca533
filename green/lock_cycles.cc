#include "green/lock_cycles.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "green/inspection.h"
#include "green/lock_holders.h"

namespace greenring::green {
namespace {

// Everybody who waits for a lock, by id.
using Waiters = std::unordered_map<uint64_t, const GreenThread*>;

Waiters FindWaiters(const Scheduler& scheduler, int64_t waited_ns_min) {
  const uint64_t now_ticks = scheduler.NowTicks();
  Waiters waiters;
  scheduler.ForEach([&](const GreenThread* thread) {
    if (AwaitsLock(*thread) && WaitedNs(*thread, now_ticks) >= waited_ns_min) waiters.emplace(thread->id(), thread);
  });
  return waiters;
}

// Who holds what `thread` waits for; nullptr if that one does not wait for a lock, or is `thread` itself.
const GreenThread* NextOf(const GreenThread& thread, const Waiters& waiters) {
  const uint64_t holder_id = LockHolders::Of(thread.wait_note().object).green_thread_id();
  if (holder_id == thread.id()) return nullptr;
  const auto found = waiters.find(holder_id);
  return found != waiters.end() ? found->second : nullptr;
}

// From its member with the lowest id on, whoever it was found from.
LockCycle CycleFrom(const GreenThread* member, const Waiters& waiters) {
  LockCycle cycle;
  const GreenThread* thread = member;
  do {
    cycle.push_back(thread);
    thread = NextOf(*thread, waiters);
  } while (thread != member);
  const auto by_id = [](const GreenThread* a, const GreenThread* b) { return a->id() < b->id(); };
  std::rotate(cycle.begin(), std::min_element(cycle.begin(), cycle.end(), by_id), cycle.end());
  return cycle;
}

}  // namespace

std::vector<LockCycle> FindLockCycles(const Scheduler& scheduler, int64_t waited_ns_min) {
  const Waiters waiters = FindWaiters(scheduler, waited_ns_min);
  std::unordered_map<uint64_t, uint64_t> seen_from;  // id of a waiter: whose walk has come by it first
  std::vector<LockCycle> cycles;
  for (const auto& [id, waiter] : waiters) {
    const GreenThread* thread = waiter;
    while (thread != nullptr && seen_from.emplace(thread->id(), id).second) thread = NextOf(*thread, waiters);
    // Each waits for one lock only: a walk that meets itself has gone round, one that meets another's adds nothing.
    if (thread != nullptr && seen_from.at(thread->id()) == id) cycles.push_back(CycleFrom(thread, waiters));
  }
  std::sort(cycles.begin(), cycles.end(),
            [](const LockCycle& a, const LockCycle& b) { return a.front()->id() < b.front()->id(); });
  return cycles;
}

LockWatch::LockWatch(Scheduler* scheduler, std::function<void(const LockCycle& cycle)> on_cycle)
    : scheduler_(scheduler), on_cycle_(std::move(on_cycle)) {
  GREENRING_CHECK(scheduler->lock_watch() == nullptr);
  scheduler->SetLockWatch(this);
}

LockWatch::~LockWatch() {
  scheduler_->RemoveTimer(&timer_);
  scheduler_->SetLockWatch(nullptr);
}

void LockWatch::Arm() { scheduler_->AddTimer(&timer_, scheduler_->clock()->NowNs() + kPatienceNs); }

void LockWatch::Look() {
  // A wait that closes a circle is its last one: to look at each wait once, when it has lasted, finds them all.
  if (SomebodyIsNew()) Arm();
  std::set<std::vector<uint64_t>> found;
  for (const LockCycle& cycle : FindLockCycles(*scheduler_, kLastedNs)) {
    std::vector<uint64_t> ids;
    for (const GreenThread* member : cycle) ids.push_back(member->id());
    if (!told_.contains(ids)) on_cycle_(cycle);
    found.insert(std::move(ids));
  }
  told_ = std::move(found);
}

bool LockWatch::SomebodyIsNew() const {
  const uint64_t now_ticks = scheduler_->NowTicks();
  bool somebody = false;
  scheduler_->ForEach(
      [&](const GreenThread* thread) { somebody |= AwaitsLock(*thread) && WaitedNs(*thread, now_ticks) < kLastedNs; });
  return somebody;
}

}  // namespace greenring::green
