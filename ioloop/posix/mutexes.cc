// Mutexes: the lock is the C library's, its owner is a green thread.
//
// A recursive or error-checking mutex knows its owner by the OS thread's id, which all green threads share. So a green
// thread that has got the C library's lock writes an id of its own over that one, counts the recursion itself, and puts
// the OS thread's id back before the C library's unlock. To OS threads such a mutex is held by somebody else: right.
// Robust, priority-inheriting and priority-protecting ones are known to the kernel by the OS thread's id: they are left
// to the C library.
#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <cstdint>

#include "green/parking_lot.h"
#include "green/scheduler.h"
#include "green/scoped_wait.h"
#include "ioloop/posix/lock_wait.h"
#include "ioloop/posix/parking.h"

namespace greenring::posix {
namespace {

constinit thread_local int os_thread_id = 0;

}  // namespace

int OsThreadId() {
  if (os_thread_id == 0) os_thread_id = static_cast<int>(syscall(SYS_gettid));
  return os_thread_id;
}

void ForgetOsThreadIdAfterFork() { os_thread_id = 0; }

void NoteAcquired(const void* lock) {
  const green::GreenThread* const thread = green::GreenThread::Current();
  green::LockHolders::Acquired(lock, thread != nullptr ? green::LockHolders::OfGreenThread(*thread)
                                                       : green::LockHolders::OfOsThread(OsThreadId()));
}

namespace parking {
namespace {

// What glibc keeps in __kind beside the type.
constexpr int kTypeMask = 3;
constexpr int kLeftToTheCLibrary = 16 | 32 | 64;  // robust, priority inheritance, priority protection
constexpr int kShared = 128;                      // between processes

int KindOf(const pthread_mutex_t* mutex) { return __atomic_load_n(&mutex->__data.__kind, __ATOMIC_RELAXED); }

bool HasOwner(int kind) {
  const int type = kind & kTypeMask;
  return (type == PTHREAD_MUTEX_RECURSIVE || type == PTHREAD_MUTEX_ERRORCHECK) && (kind & kLeftToTheCLibrary) == 0;
}

// Read without the lock too: whether the caller owns the mutex is not changed by anybody else.
int OwnerOf(const pthread_mutex_t* mutex) { return __atomic_load_n(&mutex->__data.__owner, __ATOMIC_RELAXED); }

void SetOwner(pthread_mutex_t* mutex, int owner) { __atomic_store_n(&mutex->__data.__owner, owner, __ATOMIC_RELAXED); }

// The id under which `thread` owns mutexes. No OS thread's, those are below 2^22. Unlike any other green thread's that
// lives, of any scheduler: control blocks are in pages of their own, and stacks are mapped close to each other.
int OwnerIdOf(const green::GreenThread* thread) {
  if (thread->is_os_thread()) return OsThreadId();
  constexpr int kPageBits = 12;
  constexpr uintptr_t kIdMask = 0x3fffffff;
  return static_cast<int>(0x40000000 | ((reinterpret_cast<uintptr_t>(thread) >> kPageBits) & kIdMask));
}

// The owner locks once more.
int LockAgain(pthread_mutex_t* mutex, int kind) {
  if ((kind & kTypeMask) == PTHREAD_MUTEX_ERRORCHECK) return EDEADLK;
  if (mutex->__data.__count == UINT_MAX) return EAGAIN;
  ++mutex->__data.__count;
  return 0;
}

// A green thread's try: EBUSY if another thread of either kind has the mutex.
int Try(pthread_mutex_t* mutex, int kind, const green::GreenThread* thread) {
  if (!HasOwner(kind)) return real::pthread_mutex_trylock(mutex);
  const int self = OwnerIdOf(thread);
  const int owner = OwnerOf(mutex);
  if (owner == self) return LockAgain(mutex, kind);
  if (owner == OsThreadId()) return EBUSY;  // the C library would take it for ours
  const int result = real::pthread_mutex_trylock(mutex);
  if (result == 0) SetOwner(mutex, self);
  return result;
}

// A green thread that must not park: in the child after fork it may still be the owner. `block` is the C library's
// lock.
template <typename Block>
int BlockFor(pthread_mutex_t* mutex, int kind, const green::GreenThread* thread, Block block) {
  if (!HasOwner(kind)) return block();
  const int self = OwnerIdOf(thread);
  if (OwnerOf(mutex) == self) return LockAgain(mutex, kind);
  const int result = block();
  if (result == 0) SetOwner(mutex, self);
  return result;
}

template <typename Block>
int LockAsCaller(pthread_mutex_t* mutex, const char* call, clockid_t clock, const timespec* deadline, Block block) {
  green::GreenThread* const thread = green::GreenThread::Current();
  if (thread == nullptr) return block();
  const int kind = KindOf(mutex);
  if ((kind & kLeftToTheCLibrary) != 0) return block();
  if (ParkingLoop() == nullptr) return BlockFor(mutex, kind, thread, block);
  const green::ScopedCallName name(thread, call);
  return AwaitLock(mutex, (kind & kShared) != 0, clock, deadline, [&] { return Try(mutex, kind, thread); });
}

template <typename Block>
int Lock(pthread_mutex_t* mutex, const char* call, clockid_t clock, const timespec* deadline, Block block) {
  if (IsLeftAlone(mutex)) return block();
  const int result = LockAsCaller(mutex, call, clock, deadline, block);
  if (result == 0) NoteAcquired(mutex);
  return result;
}

}  // namespace

int pthread_mutex_lock(pthread_mutex_t* mutex) {
  if (IsLeftAlone(mutex)) {
    BeforeLockOfLeftAlone(mutex);
    return real::pthread_mutex_lock(mutex);
  }
  return Lock(mutex, "pthread_mutex_lock", CLOCK_REALTIME, nullptr, [&] { return real::pthread_mutex_lock(mutex); });
}

int pthread_mutex_timedlock(pthread_mutex_t* mutex, const timespec* deadline) {
  return Lock(mutex, "pthread_mutex_timedlock", CLOCK_REALTIME, deadline,
              [&] { return real::pthread_mutex_timedlock(mutex, deadline); });
}

int pthread_mutex_clocklock(pthread_mutex_t* mutex, clockid_t clock, const timespec* deadline) {
  if (!IsLockClock(clock)) return EINVAL;
  return Lock(mutex, "pthread_mutex_clocklock", clock, deadline,
              [&] { return real::pthread_mutex_clocklock(mutex, clock, deadline); });
}

int pthread_mutex_trylock(pthread_mutex_t* mutex) {
  if (IsLeftAlone(mutex)) return real::pthread_mutex_trylock(mutex);
  const green::GreenThread* thread = green::GreenThread::Current();
  const int result = thread != nullptr ? Try(mutex, KindOf(mutex), thread) : real::pthread_mutex_trylock(mutex);
  if (result == 0) NoteAcquired(mutex);
  return result == EDEADLK ? EBUSY : result;
}

int pthread_mutex_unlock(pthread_mutex_t* mutex) {
  if (IsLeftAlone(mutex)) {
    const int result = real::pthread_mutex_unlock(mutex);
    AfterUnlockOfLeftAlone(mutex);
    return result;
  }
  const green::GreenThread* thread = green::GreenThread::Current();
  if (thread != nullptr && !thread->is_os_thread()) {
    const int kind = KindOf(mutex);
    if (HasOwner(kind)) {
      if (OwnerOf(mutex) != OwnerIdOf(thread)) return EPERM;
      if ((kind & kTypeMask) == PTHREAD_MUTEX_RECURSIVE && mutex->__data.__count > 1) {
        --mutex->__data.__count;
        return 0;
      }
      SetOwner(mutex, OsThreadId());
    }
  }
  NoteReleased(mutex);
  const int result = real::pthread_mutex_unlock(mutex);
  // By its address only: whoever has it now may have destroyed it.
  if (result == 0) green::ParkingLot::WakeOne(mutex);
  return result;
}

}  // namespace parking
}  // namespace greenring::posix
