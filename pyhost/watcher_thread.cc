#include "pyhost/watcher_thread.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <utility>

#include "base/check.h"
#include "base/futex.h"
#include "pyhost/python.h"

namespace greenring::pyhost {
namespace {

void SetAndWake(std::atomic<int>* word) {
  word->store(1, std::memory_order_release);  // its owner may be gone from here on; an address is enough to wake
  FutexWake(word);
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
  while (ended_.load(std::memory_order_acquire) == 0) FutexWait(ended_, 0);
  thread_.detach();
  if (state != nullptr) PyEval_RestoreThread(state);
}

void WatcherThread::SleepFor(int64_t duration_ns) {
  if (!stopping()) FutexWait(stop_, 0, duration_ns);
}

}  // namespace greenring::pyhost
