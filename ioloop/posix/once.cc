// What is done once: pthread_once and the static variables of C++ functions. Ours, for both kinds of thread: the C
// library's cannot be tried. Called from before main on, by anything: nothing in here is itself initialised at first
// use.
#include <cxxabi.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "base/sanitizers.h"
#include "green/parking_lot.h"
#include "green/scheduler.h"
#include "green/scoped_wait.h"
#include "ioloop/posix/lock_wait.h"
#include "ioloop/posix/parking.h"

namespace greenring::posix::parking {
namespace {

// ---- pthread_once --------------------------------------------------------------------------------------------------

// The life of a pthread_once_t: 0, in progress in a process, done. One in progress in another process is 0: the child
// of fork has a copy, but not the thread that was at it.
constexpr int kInitial = 0;
constexpr int kInProgressFlag = 1;
constexpr int kDone = 2;

int InProgressHere() { return static_cast<int>(getpid()) << 2 | kInProgressFlag; }

std::atomic<int>* StateOf(pthread_once_t* once) { return reinterpret_cast<std::atomic<int>*>(once); }

// The function runs: unless it returns, by an exception or because the thread ends, nothing has happened.
class Attempt {
 public:
  explicit Attempt(std::atomic<int>* state) : state_(state) {}
  ~Attempt() {
    state_->exchange(result_);
    green::ParkingLot::WakeAll(state_);
  }
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;

  void Succeeded() { result_ = kDone; }

 private:
  std::atomic<int>* const state_;
  int result_ = kInitial;
};

// std::call_once hands its function to pthread_once's in thread-local variables of libstdc++. Others use them while we
// wait.
class SavedCallOnce {
 public:
  SavedCallOnce() : callable_(std::__once_callable), call_(std::__once_call) {}
  ~SavedCallOnce() {
    std::__once_callable = callable_;
    std::__once_call = call_;
  }
  SavedCallOnce(const SavedCallOnce&) = delete;
  SavedCallOnce& operator=(const SavedCallOnce&) = delete;

 private:
  void* const callable_;
  void (*const call_)();
};

void AwaitChange(std::atomic<int>* state, int from) {
  SavedCallOnce saved;
  green::GreenThread* const thread = ParkingThread();
  const green::ScopedWait noted(thread, {.call = "pthread_once", .object = state});
  green::ParkingLot::Waiter waiter(state, thread);
  while (state->load() == from) waiter.WaitUncancellable();
}

#if !GREENRING_TSAN  // see calls.inc

// ---- guards --------------------------------------------------------------------------------------------------------

// The Itanium C++ ABI gives the first byte its meaning, not 0: initialised; the rest is ours. Owner in the upper half:
// who initialises.
constexpr uint64_t kInitialised = 1;
constexpr uint64_t kPending = 1 << 8;
constexpr int kOwnerShift = 32;

std::atomic<uint64_t>* WordOf(uint64_t* guard) { return reinterpret_cast<std::atomic<uint64_t>*>(guard); }

bool IsInitialised(uint64_t word) { return (word & 0xff) != 0; }

// The caller's. Control blocks of green threads are in pages of their own; odd numbers are OS threads.
uint64_t PendingHere() {
  constexpr int kPageBits = 12;
  const green::GreenThread* thread = green::GreenThread::Current();
  const uint64_t owner = thread != nullptr ? reinterpret_cast<uintptr_t>(thread) >> kPageBits << 1
                                           : static_cast<uint64_t>(OsThreadId()) << 1 | 1;
  return owner << kOwnerShift | kPending;
}

void Settle(uint64_t* guard, uint64_t word) {
  WordOf(guard)->exchange(word);
  green::ParkingLot::WakeAll(guard);
}

#endif

}  // namespace

int pthread_once(pthread_once_t* once, void (*function)()) {
  std::atomic<int>* const state = StateOf(once);
  int seen = state->load(std::memory_order_acquire);
  if (seen == kDone) return 0;
  const int in_progress = InProgressHere();
  while (seen != kDone) {
    if (seen == in_progress) {
      AwaitChange(state, seen);
      seen = state->load();
    } else if (state->compare_exchange_strong(seen, in_progress)) {
      Attempt attempt(state);
      function();
      attempt.Succeeded();
      return 0;
    }
  }
  return 0;
}

#if !GREENRING_TSAN

int __cxa_guard_acquire(uint64_t* guard) {
  std::atomic<uint64_t>* const word = WordOf(guard);
  uint64_t seen = word->load(std::memory_order_acquire);
  const uint64_t pending = PendingHere();
  while (!IsInitialised(seen)) {
    if (seen == 0) {
      if (word->compare_exchange_strong(seen, pending)) return 1;
      continue;
    }
    if (seen == pending) {
      std::fputs("greenring: the initialisation of a function's static variable has come back to itself\n", stderr);
      std::abort();
    }
    green::GreenThread* const thread = ParkingThread();
    const green::ScopedWait noted(thread, {.call = "__cxa_guard_acquire", .object = guard});
    green::ParkingLot::Waiter waiter(guard, thread);
    while (word->load() == seen) waiter.WaitUncancellable();
    seen = word->load();
  }
  return 0;
}

void __cxa_guard_release(uint64_t* guard) { Settle(guard, kInitialised); }

void __cxa_guard_abort(uint64_t* guard) { Settle(guard, 0); }

#endif

}  // namespace greenring::posix::parking
