#include "pyhost/preemption.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <utility>

#include "base/check.h"
#include "green/scheduler.h"
#include "pyhost/python.h"

namespace greenring::pyhost {
namespace {

constexpr std::chrono::milliseconds kSlice(5);

// The watcher has asked for the GIL. Stays until a green thread has yielded for it; one that was about to give the GIL
// up anyway may do so in vain.
constinit std::atomic<bool> asked{false};

// The GIL has two mutexes: its own, and one for handing it over. Whoever takes the GIL locks the second while holding
// the first; whoever gives it up locks the first alone. That is how the two are told apart.
constinit size_t held = 0;
constinit bool both_held = false;

}  // namespace

Preemption::Preemption(PythonSwitchHook* hook) : hook_(hook), process_(getpid()) {
  hook_->StartWatch();
  // Signals are the main thread's: what that blocks is to stay pending.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  watcher_ = std::thread([this] { Watch(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Preemption::~Preemption() {
  if (getpid() != process_) {
    new std::thread(std::move(watcher_));  // it stayed behind in the parent, and can be neither joined nor detached
    return;
  }
  stop_.store(true, std::memory_order_relaxed);
  hook_->EndWatch();
  PyThreadState* const state = PyGILState_Check() ? PyEval_SaveThread() : nullptr;
  // By the system call: a join would park here, and then nobody makes those who compute give way.
  while (ended_.load(std::memory_order_acquire) == 0) {
    syscall(SYS_futex, &ended_, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
  }
  watcher_.detach();
  if (state != nullptr) PyEval_RestoreThread(state);
}

void Preemption::BeforeLock(const void*) {
  if (++held > 1) both_held = true;
}

void Preemption::AfterUnlock(const void*) {
  GREENRING_CHECK(held > 0);
  if (--held > 0 || std::exchange(both_held, false)) return;
  // Here CPython has given up the GIL, and does not know yet whether the one who asked has taken it.
  if (!asked.load(std::memory_order_relaxed) || PythonSwitchHook::switching()) return;
  asked.store(false, std::memory_order_relaxed);
  green::Scheduler::Current()->YieldToLoop();
}

void Preemption::Watch() {
  while (!stop_.load(std::memory_order_relaxed)) {
    hook_->AwaitBusy();
    const uint64_t switches = hook_->switch_count();
    std::this_thread::sleep_for(kSlice);
    if (stop_.load(std::memory_order_relaxed) || hook_->idle() || hook_->switch_count() != switches) continue;
    asked.store(true, std::memory_order_relaxed);
    PyGILState_Release(PyGILState_Ensure());
  }
  std::atomic<int>* const ended = &ended_;
  ended->store(1, std::memory_order_release);  // `this` may be gone from here on; an address is enough to wake
  syscall(SYS_futex, ended, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

}  // namespace greenring::pyhost
