// How green threads wait for the C library's locks: they try, and park in the parking lot between tries. The lock's
// state stays the C library's own, so OS threads block in it as ever and static initialisers are what they were.
//
//   return AwaitLock(lock, /*is_shared=*/false, CLOCK_REALTIME, deadline, [&] { return TryLock(lock); });
//
//   Unlock(lock);                                  // the C library's
//   green::ParkingLot::WakeOne(lock);
//
// A Scheduler::Cancel does not end these waits: who waits for a lock has it afterwards. Semaphores, whose callers know
// EINTR, may be interrupted (CancelAnswer).
#pragma once

#include <errno.h>
#include <time.h>

#include <algorithm>
#include <cstdint>

#include "base/clock.h"
#include "green/lock_cycles.h"
#include "green/lock_holders.h"
#include "green/parking_lot.h"
#include "green/scheduler.h"
#include "green/scoped_wait.h"
#include "ioloop/posix/blocking_call.h"
#include "ioloop/posix/interposer.h"

namespace greenring::posix {

// Who may park: the current green thread, if its calls are intercepted. nullptr: to wait is to block the OS thread.
inline green::GreenThread* ParkingThread() {
  return ParkingLoop() != nullptr ? green::GreenThread::Current() : nullptr;
}

// The clocks that pthread's calls take.
inline bool IsLockClock(clockid_t clock) { return clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC; }

inline bool IsInstant(const timespec& time) { return time.tv_nsec >= 0 && time.tv_nsec < kNanosecondsPerSecond; }

// The times at which something shared with other processes, which do not wake our green threads, is looked at again.
class Pauses {
 public:
  // The end of the next pause, `deadline_ns` at the latest.
  int64_t NextEndNs(int64_t deadline_ns) {
    const int64_t end_ns = Clock::Monotonic()->NowNs() + pause_ns_;
    pause_ns_ = std::min(2 * pause_ns_, kLongestNs);
    return std::min(end_ns, deadline_ns);
  }

 private:
  static constexpr int64_t kFirstNs = 50'000;
  static constexpr int64_t kLongestNs = 2'000'000;
  int64_t pause_ns_ = kFirstNs;
};

// Calls `attempt` until it returns something else than EBUSY, which is the result; ETIMEDOUT when `clock` has passed
// `instant` (nullptr: never), EINVAL for an instant that is none, both only where the first try did not settle it.
// `is_shared`: with other processes. `give_back` undoes a release that was handed over (ParkingLot::HandOver) to a
// caller who had got the lock by itself; for locks that are never handed over it is not called. `interruptible`: the
// result may be EINTR. On a green thread that may park. Parks.
template <typename Attempt, typename GiveBack>
int AwaitLock(const void* lock, bool is_shared, clockid_t clock, const timespec* instant, Attempt attempt,
              GiveBack give_back, bool interruptible = false) {
  if (const int result = attempt(); result != EBUSY) return result;
  if (instant != nullptr && !IsInstant(*instant)) return EINVAL;
  const int64_t deadline_ns = DeadlineAt(clock, instant);
  Pauses pauses;
  green::GreenThread* const thread = green::GreenThread::Current();
  green::LockWatch::OnWait(thread->scheduler());
  const green::ScopedWait noted(thread, {.object = lock, .kind = green::WaitNote::Kind::kLock});
  green::ParkingLot::Waiter waiter(lock, thread);
  int result = attempt();
  while (result == EBUSY) {
    const int64_t until_ns = is_shared ? pauses.NextEndNs(deadline_ns) : deadline_ns;
    const green::ParkResult ended = interruptible ? waiter.Wait(until_ns) : waiter.WaitUncancellable(until_ns);
    if (waiter.TakeGift()) {
      result = 0;
    } else if (ended == green::ParkResult::kTimedOut && until_ns == deadline_ns) {
      result = ETIMEDOUT;
    } else {
      result = attempt();
    }
    if (ended == green::ParkResult::kCancelled && result == EBUSY) {
      interruptible = false;
      if (AnswerCancel(/*may_fail=*/false) == EINTR) result = EINTR;
    }
  }
  if (waiter.Leave()) {
    if (result == 0) {
      give_back();
    } else {
      result = 0;
    }
  }
  return result;
}

template <typename Attempt>
int AwaitLock(const void* lock, bool is_shared, clockid_t clock, const timespec* instant, Attempt attempt) {
  return AwaitLock(lock, is_shared, clock, instant, attempt, [] {});
}

// The calling thread has got `lock`, or is about to give it up: for those who look for deadlocks.
void NoteAcquired(const void* lock);
inline void NoteReleased(const void* lock) { green::LockHolders::Released(lock); }

// The OS thread's id, as gettid(2) gives it, without the system call.
int OsThreadId();

// In the child after fork: its one thread has another id.
void ForgetOsThreadIdAfterFork();

}  // namespace greenring::posix
