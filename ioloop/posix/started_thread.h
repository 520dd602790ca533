// A green thread that pthread_create made: what outlives it until somebody has joined or detached it.
//
//   StartedThread* started = StartedThread::Start(scheduler, &Main, argument, /*detached=*/false);
//   pthread_t thread = started->handle();
//   ...
//   StartedThread::FromHandle(thread)->Join(&result, kNeverNs);
//
// Its address is the thread's handle: unlike the control block's, that one is not taken by another thread before the
// join. The memory stays a StartedThread for ever and is used again, so a stale handle is an error, not a fault.
//
// Thread-safe, but Start and Exit.
#pragma once

#include <pthread.h>
#include <setjmp.h>
#include <sys/types.h>
#include <unwind.h>

#include <atomic>
#include <cstdint>

#include "green/green_thread.h"
#include "green/scheduler.h"
#include "ioloop/posix/threads.h"

namespace greenring::posix {

class alignas(16) StartedThread {
 public:
  // A green thread that runs `function(argument)`. On the scheduler's OS thread. nullptr: no memory. Never parks.
  static StartedThread* Start(green::Scheduler* scheduler, StartRoutine function, void* argument, bool detached);

  // The one that runs now; nullptr: what runs now was not started here. Never parks.
  static StartedThread* Current();

  // Of a handle() that still means somebody, or did; nullptr: it is no such handle. Never parks.
  static StartedThread* FromHandle(pthread_t handle);

  pthread_t handle() const { return reinterpret_cast<uintptr_t>(this) | kHandleBits; }

  // Neither joined nor, if it is detached, at its end. Never parks.
  bool exists() const { return (state_.load(std::memory_order_acquire) & kInUse) != 0; }

  // nullptr: its function has returned. Never parks.
  green::GreenThread* thread() const { return thread_.load(std::memory_order_acquire); }

  // Waits for its end. 0; EDEADLK: it is the caller, or the caller keeps it from running; EINVAL: it is detached or
  // being joined; ESRCH: it does not exist; EBUSY: it runs, with a deadline of 0; ETIMEDOUT. Not ended by
  // Scheduler::Cancel. Parks a green thread, blocks any other.
  int Join(void** result, int64_t deadline_ns);

  // 0; EINVAL: it is detached or being joined; ESRCH. Never parks.
  int Detach();

  // Ends it: unwinds its stack to the start. On itself.
  [[noreturn]] void Exit(void* result);

 private:
  // Bits of state_.
  static constexpr uint32_t kInUse = 1;
  static constexpr uint32_t kEnded = 2;
  static constexpr uint32_t kDetached = 4;
  static constexpr uint32_t kBeingJoined = 8;

  static constexpr uintptr_t kHandleBits = 3;

  class PoolLock;
  class JoinClaim;

  StartedThread() = default;
  static StartedThread* Take();
  void Recycle();

  void Run();
  void End();
  // Sets kDetached or kBeingJoined, unless one of the two is set: EINVAL.
  int Claim(uint32_t bit, uint32_t* before);
  int AwaitEnd(int64_t deadline_ns);
  static _Unwind_Reason_Code StopAtStart(int version, _Unwind_Action actions, _Unwind_Exception_Class exception_class,
                                         _Unwind_Exception* exception, _Unwind_Context* context, void* started);

  static StartedThread* free_;

  std::atomic<uint32_t> state_{0};
  std::atomic<green::GreenThread*> thread_{nullptr};
  StartRoutine function_ = nullptr;
  void* argument_ = nullptr;
  void* result_ = nullptr;
  pid_t process_ = 0;
  jmp_buf start_;
  uintptr_t start_frame_ = 0;
  _Unwind_Exception unwinding_{};
  StartedThread* next_free_ = nullptr;
};

}  // namespace greenring::posix
