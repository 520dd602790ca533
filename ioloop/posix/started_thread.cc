#include "ioloop/posix/started_thread.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <new>

#include "base/check.h"
#include "green/parking_lot.h"
#include "green/scoped_wait.h"
#include "green/thread_keys.h"

namespace greenring::posix {
namespace {

constinit std::atomic<pid_t> pool_locked_by{0};

// A catch (...) that swallowed the unwinding, or a destructor that threw.
void OnUnwindingLost(_Unwind_Reason_Code, _Unwind_Exception*) {
  std::fputs("greenring: the unwinding of pthread_exit was caught and not rethrown\n", stderr);
  std::abort();
}

}  // namespace

constinit StartedThread* StartedThread::free_ = nullptr;

// Not pthread's: those names are ours, and may park. It is held for a few instructions. One that is left over from
// before a fork belonged to a thread that the child does not have: it holds its process's id.
class StartedThread::PoolLock {
 public:
  PoolLock() {
    const pid_t self = getpid();
    pid_t owner = 0;
    while (!pool_locked_by.compare_exchange_weak(owner, self, std::memory_order_acquire)) {
      if (owner != self) continue;  // free by now, or a dead process's: taken over
      owner = 0;
      syscall(SYS_sched_yield);
    }
  }
  ~PoolLock() { pool_locked_by.store(0, std::memory_order_release); }
  PoolLock(const PoolLock&) = delete;
  PoolLock& operator=(const PoolLock&) = delete;
};

// Gives a claim to join up again, also when pthread_cancel unwinds who waits.
class StartedThread::JoinClaim {
 public:
  explicit JoinClaim(std::atomic<uint32_t>* state) : state_(state) {}
  ~JoinClaim() {
    if (state_ != nullptr) state_->fetch_and(~kBeingJoined, std::memory_order_release);
  }
  JoinClaim(const JoinClaim&) = delete;
  JoinClaim& operator=(const JoinClaim&) = delete;

  void Keep() { state_ = nullptr; }

 private:
  std::atomic<uint32_t>* state_;
};

StartedThread* StartedThread::Take() {
  {
    PoolLock lock;
    if (StartedThread* taken = free_; taken != nullptr) {
      free_ = taken->next_free_;
      return taken;
    }
  }
  return new (std::nothrow) StartedThread;
}

void StartedThread::Recycle() {
  state_.store(0, std::memory_order_release);
  PoolLock lock;
  next_free_ = free_;
  free_ = this;
}

StartedThread* StartedThread::Start(green::Scheduler* scheduler, StartRoutine function, void* argument, bool detached) {
  if (!scheduler->Reserve(1).ok()) return nullptr;
  StartedThread* started = Take();
  if (started == nullptr) return nullptr;
  started->function_ = function;
  started->argument_ = argument;
  started->result_ = nullptr;
  started->process_ = getpid();
  started->state_.store(detached ? kInUse | kDetached : kInUse, std::memory_order_release);
  green::GreenThread* thread = scheduler->Spawn([started] { started->Run(); }, {.name = "thread"});
  thread->set_handle(started->handle());
  started->thread_.store(thread, std::memory_order_release);
  return started;
}

StartedThread* StartedThread::Current() {
  const green::GreenThread* thread = green::GreenThread::Current();
  return thread != nullptr ? FromHandle(thread->handle()) : nullptr;
}

StartedThread* StartedThread::FromHandle(pthread_t handle) {
  return (handle & kHandleBits) == kHandleBits ? reinterpret_cast<StartedThread*>(handle & ~kHandleBits) : nullptr;
}

// A frame of its own: Exit jumps back into it.
__attribute__((noinline)) void StartedThread::Run() {
  start_frame_ = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  if (_setjmp(start_) == 0) result_ = function_(argument_);
  if (getpid() != process_) std::exit(0);  // the one thread of a child of fork, which ends with it
  End();
}

void StartedThread::End() {
  green::ThreadKeys::EndThread(thread());  // now: who joins may rely on it
  thread_.store(nullptr, std::memory_order_relaxed);
  const uint32_t before = state_.fetch_or(kEnded, std::memory_order_seq_cst);
  if ((before & kDetached) != 0) return Recycle();
  green::ParkingLot::WakeAll(this);  // by its address only: it may be somebody else's by now
}

int StartedThread::Claim(uint32_t bit, uint32_t* before) {
  *before = state_.load(std::memory_order_acquire);
  do {
    if ((*before & kInUse) == 0) return ESRCH;
    if ((*before & (kDetached | kBeingJoined)) != 0) return EINVAL;
  } while (!state_.compare_exchange_weak(*before, *before | bit, std::memory_order_acq_rel, std::memory_order_acquire));
  return 0;
}

int StartedThread::AwaitEnd(int64_t deadline_ns) {
  const green::ScopedWait noted(green::GreenThread::Current(), {.call = "pthread_join", .object = this});
  green::ParkingLot::Waiter waiter(this);
  for (bool in_time = true;;) {
    if ((state_.load(std::memory_order_acquire) & kEnded) != 0) break;
    if (!in_time) return ETIMEDOUT;
    if (getpid() != process_) return ESRCH;  // it stayed behind in the parent
    const green::GreenThread* thread = this->thread();
    const green::Scheduler* here = green::Scheduler::Current();
    // In the loop's context: it cannot run before we return.
    if (thread != nullptr && thread->scheduler() == here && here->current() == nullptr) return EDEADLK;
    // An OS thread may be cancelled here, as in the C library's.
    const bool parks = here != nullptr && here->current() != nullptr;
    in_time =
        (parks ? waiter.WaitUncancellable(deadline_ns) : waiter.Wait(deadline_ns)) != green::ParkResult::kTimedOut;
  }
  return 0;
}

int StartedThread::Join(void** result, int64_t deadline_ns) {
  if (Current() == this) return EDEADLK;
  // A try does not claim what it cannot have: it would get in the way of somebody's join.
  if (deadline_ns == 0 && (state_.load(std::memory_order_acquire) & (kInUse | kEnded | kDetached)) == kInUse) {
    return EBUSY;
  }
  uint32_t before;
  if (const int error = Claim(kBeingJoined, &before); error != 0) return error;
  {
    JoinClaim claim(&state_);
    if (const int error = AwaitEnd(deadline_ns); error != 0) return error;
    claim.Keep();
  }
  if (result != nullptr) *result = result_;
  Recycle();
  return 0;
}

int StartedThread::Detach() {
  uint32_t before;
  if (const int error = Claim(kDetached, &before); error != 0) return error;
  // Of End and this, whoever comes second finds the other's bit.
  if ((before & kEnded) != 0) Recycle();
  return 0;
}

void StartedThread::Exit(void* result) {
  result_ = result;
  unwinding_ = {};
  unwinding_.exception_cleanup = &OnUnwindingLost;
  _Unwind_ForcedUnwind(&unwinding_, &StopAtStart, this);
  GREENRING_CHECK(!"a forced unwinding returned");
  __builtin_unreachable();
}

_Unwind_Reason_Code StartedThread::StopAtStart(int, _Unwind_Action actions, _Unwind_Exception_Class, _Unwind_Exception*,
                                               _Unwind_Context* context, void* argument) {
  StartedThread* started = static_cast<StartedThread*>(argument);
  // Frames that cannot be unwound end it as well: what lies between is left as it is.
  if ((actions & _UA_END_OF_STACK) == 0 && _Unwind_GetCFA(context) < started->start_frame_) return _URC_NO_REASON;
  _longjmp(started->start_, 1);
}

}  // namespace greenring::posix
