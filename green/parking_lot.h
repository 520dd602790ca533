// Waiting for an address: green threads, and OS threads, that sleep until somebody wakes "whoever waits for this".
//
//   ParkingLot::Waiter waiter(&lock);                            // in line from here on: no wake is missed
//   while (!TryLock(&lock)) {                                    // the condition, looked at after joining the line
//     if (waiter.Wait(deadline_ns) != ParkResult::kUnparked) return ETIMEDOUT;
//   }
//
//   Unlock(&lock);                                               // any thread, of either kind
//   ParkingLot::WakeOne(&lock);
//
// The lot knows nothing of what is waited for: it is what a futex is to OS threads, for both kinds at once. The state
// itself is the caller's, and must be changed before the wake, by an atomic read-modify-write. A wake is a hint: look
// again, as above. Wait puts the waiter back in line, in front, before it returns: the next look misses nothing either,
// and who comes too late for one wake is the first to have the next.
//
// A WakeOne that reaches a waiter when it no longer waits goes to the next in line when the waiter leaves.
//
// Waiters are on their stacks; nothing is allocated. Lines are found by a hash of the address: strangers may share a
// bucket's lock, never a wake. An address that nobody waits for costs a wake one load.
//
// Thread-safe. WakeOne and WakeAll are async-signal-safe where a SignalScope says that a handler runs.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/clock.h"
#include "green/scheduler.h"

namespace greenring::green {

class ParkingLot {
 public:
  class Waiter;

  // A signal handler runs on this OS thread, for the object's life: it may have interrupted the scheduler or the lot.
  class SignalScope {
   public:
    SignalScope() { ++depth_; }
    ~SignalScope() { --depth_; }
    SignalScope(const SignalScope&) = delete;
    SignalScope& operator=(const SignalScope&) = delete;

    static bool active() { return depth_ > 0; }

   private:
    static inline constinit thread_local int depth_ = 0;
  };

  // Wakes the first in line for `address`, or everybody. Returns how many. Thread-safe. Never parks.
  static size_t WakeOne(const void* address) { return HasWaiters(address) ? Wake(address, /*everybody=*/false) : 0; }
  static size_t WakeAll(const void* address) { return HasWaiters(address) ? Wake(address, /*everybody=*/true) : 0; }

  // Gives the first in line what the caller releases, instead of making it free for whoever comes first: true if there
  // is somebody, who has it from then on (Waiter::TakeGift). Else, and always in a signal handler, false. So a thread
  // that releases and takes again before the woken one has run cannot keep it out for ever. Thread-safe. Never parks.
  static bool HandOver(const void* address) {
    return !SignalScope::active() && HasWaiters(address) && GiveToFirst(address);
  }

  // In the child after fork: those who waited are not there, and no lock of the lot is held.
  static void ForgetAllAfterFork();

 private:
  struct Bucket {
    std::atomic<uint32_t> waiter_count{0};
    std::atomic<bool> locked{false};
    std::atomic<bool> rouse{false};  // a signal handler found it locked: who holds the lock wakes everybody
    Waiter* first = nullptr;
    Waiter* last = nullptr;
  };
  class BucketLock;

  static constexpr size_t kBuckets = 1024;

  static Bucket* BucketOf(const void* address);
  // Whether somebody waits in the bucket; ordered after the caller's change of state.
  static bool HasWaiters(const void* address);
  static size_t Wake(const void* address, bool everybody);
  static bool GiveToFirst(const void* address);
  static void RouseEverybody(Bucket* bucket);

  static Bucket buckets_[kBuckets];
};

// One who waits, on its own stack. Not for two threads.
class ParkingLot::Waiter {
 public:
  // Joins the line for `address`. `thread`: the caller; nullptr: Wait blocks the OS thread, whatever runs on it.
  explicit Waiter(const void* address, GreenThread* thread = GreenThread::Current());

  // Leaves it.
  ~Waiter();

  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  // Until a wake (kUnparked), `deadline_ns` (monotonic clock) or Scheduler::Cancel; in line again when it returns.
  // Whatever else unparks the green thread ends it too: kUnparked. Of an OS thread: a cancellation point, as in
  // pthread_cancel. Parks.
  ParkResult Wait(int64_t deadline_ns = kNeverNs);

  // The same; no kind of cancellation ends it. Parks.
  ParkResult WaitUncancellable(int64_t deadline_ns = kNeverNs);

  // After a Wait: whether it ended with a HandOver.
  bool TakeGift() { return std::exchange(gift_, false); }

  // Leaves the line for good: nothing is handed over from here on. True: something was after the last Wait, and is the
  // caller's. Thread-safe against wakes.
  bool Leave();

  // Whether a wake has come since the last Wait: for those who wait for something else beside the address.
  bool woken() const { return state_.load(std::memory_order_acquire) != kWaiting; }

 private:
  friend class ParkingLot;

  static constexpr uint32_t kWaiting = 0;
  static constexpr uint32_t kWoken = 1;         // alone: another may need the wake if this one does not
  static constexpr uint32_t kWokenWithAll = 2;  // as everybody was who was in line
  static constexpr uint32_t kGiven = 3;         // by HandOver
  static constexpr uint32_t kLeft = 4;

  ParkResult WaitInternal(int64_t deadline_ns, bool cancellable);
  ParkResult Block(int64_t deadline_ns, bool cancellable);
  // The bucket's lock is held.
  bool in_line() const { return state_.load(std::memory_order_relaxed) == kWaiting; }
  void JoinAtEnd();
  void JoinInFront();
  void Unlink();
  void Deliver(uint32_t state);

  const void* const address_;
  Bucket* const bucket_;
  GreenThread* const thread_;  // nullptr: an OS thread
  std::atomic<uint32_t> state_{kWaiting};
  bool gift_ = false;
  Waiter* next_ = nullptr;
  Waiter* previous_ = nullptr;
};

}  // namespace greenring::green
