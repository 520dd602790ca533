#include "pyhost/os_thread.h"

#include <pthread.h>

#include <utility>

#include "green/scheduler.h"
#include "pyhost/current_state.h"
#include "pyhost/python.h"

namespace greenring::pyhost {

const void* CurrentThreadToken() {
  static constinit thread_local char os_thread = 0;
  const green::GreenThread* const thread = green::GreenThread::Current();
  return thread != nullptr ? static_cast<const void*>(thread) : &os_thread;
}

ScopedOsThreadState::ScopedOsThreadState() : gil_state_(PyGILState_Ensure()) { python_.emplace(); }

ScopedOsThreadState::~ScopedOsThreadState() {
  python_.reset();
  PyGILState_Release(static_cast<PyGILState_STATE>(gil_state_));
}

ScopedGilPause::ScopedGilPause() : state_(PyEval_SaveThread()) {}

ScopedGilPause::~ScopedGilPause() { PyEval_RestoreThread(state_); }

ScopedThreadSignals::ScopedThreadSignals() {
  sigset_t blocked;
  sigfillset(&blocked);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS}) sigdelset(&blocked, fault);
  pthread_sigmask(SIG_SETMASK, &blocked, &before_);
}

ScopedThreadSignals::~ScopedThreadSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

void AbandonGil() {
  PyThreadState* const own = PyGILState_GetThisThreadState();
  if (own != nullptr && own == CurrentState()) PyEval_SaveThread();
}

GilErrands::~GilErrands() {
  {
    const absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void GilErrands::Post(std::function<void()> errand) {
  {
    const absl::MutexLock lock(&mutex_);
    errands_.push_back(std::move(errand));
  }
  if (thread_.joinable()) return;
  const ScopedThreadSignals signals;
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), "errands");
}

void GilErrands::Run() {
  for (;;) {
    std::vector<std::function<void()>> errands;
    {
      const absl::MutexLock lock(&mutex_);
      const auto something = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || !errands_.empty(); };
      mutex_.Await(absl::Condition(&something));
      if (stopping_) return;
      errands.swap(errands_);
    }
    const ScopedOsThreadState python;
    for (const auto& errand : errands) errand();
  }
}

}  // namespace greenring::pyhost
