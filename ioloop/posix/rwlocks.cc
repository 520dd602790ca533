// Read-write locks: the C library's, tried by green threads. Which of them has it for writing the C library does not
// know: one that locks it twice waits for ever instead of hearing EDEADLK.
#include <errno.h>
#include <pthread.h>

#include "green/parking_lot.h"
#include "ioloop/posix/lock_wait.h"
#include "ioloop/posix/parking.h"

namespace greenring::posix::parking {
namespace {

int LockForReading(pthread_rwlock_t* lock, clockid_t clock, const timespec* deadline) {
  return AwaitLock(lock, lock->__data.__shared != 0, clock, deadline, [&] { return pthread_rwlock_tryrdlock(lock); });
}

int LockForWriting(pthread_rwlock_t* lock, clockid_t clock, const timespec* deadline) {
  const int result =
      AwaitLock(lock, lock->__data.__shared != 0, clock, deadline, [&] { return pthread_rwlock_trywrlock(lock); });
  if (result == 0) NoteAcquired(lock);
  return result;
}

// An OS thread that waited for writing and gave up no longer keeps readers out, where writers go first.
int WakeReadersAfter(pthread_rwlock_t* lock, int result) {
  if (result == ETIMEDOUT) green::ParkingLot::WakeAll(lock);
  return result;
}

}  // namespace

int pthread_rwlock_rdlock(pthread_rwlock_t* lock) { return LockForReading(lock, CLOCK_REALTIME, nullptr); }

int pthread_rwlock_wrlock(pthread_rwlock_t* lock) { return LockForWriting(lock, CLOCK_REALTIME, nullptr); }

int pthread_rwlock_timedrdlock(pthread_rwlock_t* lock, const timespec* deadline) {
  return LockForReading(lock, CLOCK_REALTIME, deadline);
}

int pthread_rwlock_timedwrlock(pthread_rwlock_t* lock, const timespec* deadline) {
  if (ParkingLoop() == nullptr) return WakeReadersAfter(lock, real::pthread_rwlock_timedwrlock(lock, deadline));
  return LockForWriting(lock, CLOCK_REALTIME, deadline);
}

int pthread_rwlock_clockrdlock(pthread_rwlock_t* lock, clockid_t clock, const timespec* deadline) {
  return IsLockClock(clock) ? LockForReading(lock, clock, deadline) : EINVAL;
}

int pthread_rwlock_clockwrlock(pthread_rwlock_t* lock, clockid_t clock, const timespec* deadline) {
  if (!IsLockClock(clock)) return EINVAL;
  if (ParkingLoop() == nullptr) return WakeReadersAfter(lock, real::pthread_rwlock_clockwrlock(lock, clock, deadline));
  return LockForWriting(lock, clock, deadline);
}

int pthread_rwlock_unlock(pthread_rwlock_t* lock) {
  NoteReleased(lock);
  const int result = real::pthread_rwlock_unlock(lock);
  // By its address only. Everybody: it may be readers, all of whom get in.
  if (result == 0) green::ParkingLot::WakeAll(lock);
  return result;
}

}  // namespace greenring::posix::parking
