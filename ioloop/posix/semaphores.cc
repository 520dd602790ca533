// CPython's locks, and everybody's semaphores: the count is the C library's.
#include <errno.h>
#include <semaphore.h>

#include <cstdint>
#include <cstring>

#include "green/parking_lot.h"
#include "ioloop/posix/blocking_call.h"
#include "ioloop/posix/lock_wait.h"
#include "ioloop/posix/parking.h"

namespace greenring::posix::parking {
namespace {

// Whether other processes may post: by sem_init's argument, or opened by name. glibc keeps it behind the count.
bool IsShared(const sem_t* semaphore) {
  constexpr size_t kOffsetBytes = 8;
  int shared;
  std::memcpy(&shared, reinterpret_cast<const char*>(semaphore) + kOffsetBytes, sizeof(shared));
  return shared != 0;
}

// Whether OS threads sleep in the C library's wait; glibc counts them above the value.
bool HasOsWaiters(const sem_t* semaphore) {
  return __atomic_load_n(reinterpret_cast<const uint64_t*>(semaphore), __ATOMIC_RELAXED) >> 32 != 0;
}

int Wait(sem_t* semaphore, clockid_t clock, const timespec* deadline) {
  const int error_before = errno;
  // Before the first try: from here on the caller, who has come back after EINTR, goes on as if there had been none.
  const bool interruptible = !IsUnheeded();
  if (parking::sem_trywait(semaphore) == 0) return 0;
  // Signal handlers of Python run when lock.acquire() has seen EINTR.
  BlockingCall call;
  const int result = AwaitLock(
      semaphore, IsShared(semaphore), clock, deadline,
      [&] {
        if (real::sem_trywait(semaphore) == 0) return 0;
        return call.Ended() != 0 ? EINTR : EBUSY;
      },
      [&] { parking::sem_post(semaphore); }, interruptible);
  if (result == 0) NoteAcquired(semaphore);
  errno = result == 0 ? error_before : result;
  return result == 0 ? 0 : -1;
}

}  // namespace

int sem_wait(sem_t* semaphore) { return Wait(semaphore, CLOCK_REALTIME, nullptr); }

int sem_timedwait(sem_t* semaphore, const timespec* deadline) { return Wait(semaphore, CLOCK_REALTIME, deadline); }

int sem_clockwait(sem_t* semaphore, clockid_t clock, const timespec* deadline) {
  if (!IsLockClock(clock)) {
    errno = EINVAL;
    return -1;
  }
  return Wait(semaphore, clock, deadline);
}

int sem_trywait(sem_t* semaphore) {
  const int result = real::sem_trywait(semaphore);
  if (result == 0) NoteAcquired(semaphore);
  return result;
}

int sem_post(sem_t* semaphore) {
  NoteReleased(semaphore);
  // While OS threads wait too, in the C library, it is first come, first served.
  if (!HasOsWaiters(semaphore) && green::ParkingLot::HandOver(semaphore)) return 0;
  const int result = real::sem_post(semaphore);
  // By its address only: whoever the post let in may have destroyed it.
  if (result == 0) green::ParkingLot::WakeOne(semaphore);
  return result;
}

}  // namespace greenring::posix::parking
