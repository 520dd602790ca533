#include "pyhost/watcher_thread.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "pyhost/python.h"

namespace greenring::pyhost {
namespace {

// By the system call: the C library's waits park.
void WaitWhileZero(std::atomic<int>* word, const timespec* timeout) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, 0, timeout, nullptr, 0);
}

void SetAndWake(std::atomic<int>* word) {
  word->store(1, std::memory_order_release);  // its owner may be gone from here on; an address is enough to wake
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

}  // namespace

WatcherThread::WatcherThread(const char* name, std::function<void()> run) : process_(getpid()), run_(std::move(run)) {
  // Signals are the main thread's: what that blocks is to stay pending.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] {
    run_();
    SetAndWake(&ended_);
  });
  pthread_setname_np(thread_.native_handle(), name);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

WatcherThread::~WatcherThread() { GREENRING_CHECK(!thread_.joinable()); }

void WatcherThread::Stop() { SetAndWake(&stop_); }

void WatcherThread::Join() {
  if (getpid() != process_) {
    new std::thread(std::move(thread_));  // it stayed behind in the parent, and can be neither joined nor detached
    return;
  }
  PyThreadState* const state = PyGILState_Check() ? PyEval_SaveThread() : nullptr;
  while (ended_.load(std::memory_order_acquire) == 0) WaitWhileZero(&ended_, nullptr);
  thread_.detach();
  if (state != nullptr) PyEval_RestoreThread(state);
}

void WatcherThread::SleepFor(int64_t duration_ns) {
  const timespec timeout = {.tv_sec = duration_ns / kNanosecondsPerSecond,
                            .tv_nsec = duration_ns % kNanosecondsPerSecond};
  if (!stopping()) WaitWhileZero(&stop_, &timeout);
}

}  // namespace greenring::pyhost
