// Condition variables: ours, for both kinds of thread. The C library's wait would unlock the mutex inside, where nobody
// wakes the green threads that are parked for it. Those shared between processes are the C library's for OS threads,
// and for green threads a short sleep: a wait may end for no reason.
#include <errno.h>
#include <pthread.h>

#include <algorithm>

#include "base/clock.h"
#include "green/parking_lot.h"
#include "green/scoped_wait.h"
#include "ioloop/posix/lock_wait.h"
#include "ioloop/posix/parking.h"

namespace greenring::posix::parking {
namespace {

constexpr int64_t kSharedSleepNs = kNanosecondsPerMillisecond;

// What pthread_cond_init was told; glibc keeps it below its count of waiters.
constexpr unsigned kSharedFlag = 1;
constexpr unsigned kMonotonicFlag = 2;

unsigned FlagsOf(const pthread_cond_t* condition) {
  return __atomic_load_n(&condition->__data.__wrefs, __ATOMIC_RELAXED);
}

// A mutex that is locked, and is so again at the object's end, also when the thread is cancelled in between.
class Unlocked {
 public:
  explicit Unlocked(pthread_mutex_t* mutex) : mutex_(mutex) {}
  ~Unlocked() {
    if (unlocked_) parking::pthread_mutex_lock(mutex_);
  }
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;

  int Unlock() {
    const int result = parking::pthread_mutex_unlock(mutex_);
    unlocked_ = result == 0;
    return result;
  }

  int LockAgain() {
    unlocked_ = false;
    return parking::pthread_mutex_lock(mutex_);
  }

 private:
  pthread_mutex_t* const mutex_;
  bool unlocked_ = false;
};

// `block` is the C library's wait.
template <typename Block>
int Wait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock, const timespec* instant, Block block) {
  green::GreenThread* const thread = ParkingThread();
  const bool is_shared = (FlagsOf(condition) & kSharedFlag) != 0;
  if (IsLeftAlone(condition)) {
    BeforeWaitForLeftAlone(condition);
    return block();
  }
  if (is_shared && thread == nullptr) return block();
  if (instant != nullptr && !IsInstant(*instant)) return EINVAL;
  const int64_t deadline_ns = DeadlineAt(clock, instant);
  const int64_t until_ns =
      is_shared ? std::min(deadline_ns, Clock::Monotonic()->NowNs() + kSharedSleepNs) : deadline_ns;
  Unlocked unlocked(mutex);
  bool timed_out = false;
  {
    const green::ScopedWait noted(thread, {.call = "pthread_cond_wait", .object = condition});
    green::ParkingLot::Waiter waiter(condition, thread);
    if (const int error = unlocked.Unlock(); error != 0) return error;
    // An OS thread can be cancelled here, as in the C library's. A wake that nobody meant for it is allowed: so ends
    // the wait of the main thread after a signal handler, too.
    timed_out = (thread != nullptr ? waiter.WaitUncancellable(until_ns) : waiter.Wait(until_ns)) ==
                green::ParkResult::kTimedOut;
  }
  if (const int error = unlocked.LockAgain(); error != 0) return error;
  return timed_out && until_ns == deadline_ns ? ETIMEDOUT : 0;
}

}  // namespace

int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex) {
  return Wait(condition, mutex, CLOCK_MONOTONIC, nullptr, [&] { return real::pthread_cond_wait(condition, mutex); });
}

int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex, const timespec* deadline) {
  const clockid_t clock = (FlagsOf(condition) & kMonotonicFlag) != 0 ? CLOCK_MONOTONIC : CLOCK_REALTIME;
  return Wait(condition, mutex, clock, deadline,
              [&] { return real::pthread_cond_timedwait(condition, mutex, deadline); });
}

int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock,
                           const timespec* deadline) {
  if (!IsLockClock(clock)) return EINVAL;
  return Wait(condition, mutex, clock, deadline,
              [&] { return real::pthread_cond_clockwait(condition, mutex, clock, deadline); });
}

// The C library's too: for other processes, and for what was left alone.
int pthread_cond_signal(pthread_cond_t* condition) {
  const int result = real::pthread_cond_signal(condition);
  if (result == 0) green::ParkingLot::WakeOne(condition);
  return result;
}

int pthread_cond_broadcast(pthread_cond_t* condition) {
  const int result = real::pthread_cond_broadcast(condition);
  if (result == 0) green::ParkingLot::WakeAll(condition);
  return result;
}

}  // namespace greenring::posix::parking
