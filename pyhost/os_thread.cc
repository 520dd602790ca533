#include "pyhost/os_thread.h"

#include <pthread.h>

#include <utility>

#include "base/futex.h"
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
  stopping_.store(true, std::memory_order_release);
  news_count_.fetch_add(1, std::memory_order_release);
  FutexWake(&news_count_);
  if (thread_.joinable()) thread_.join();
  for (Errand* errand = TakeAll(); errand != nullptr;) delete std::exchange(errand, errand->next);
}

void GilErrands::Post(std::function<void()> what) {
  auto* const errand = new Errand{std::move(what), posted_.load(std::memory_order_relaxed)};
  while (!posted_.compare_exchange_weak(errand->next, errand, std::memory_order_release, std::memory_order_relaxed)) {
  }
  news_count_.fetch_add(1, std::memory_order_release);
  FutexWake(&news_count_);
  if (thread_.joinable()) return;
  const ScopedThreadSignals signals;
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), "errands");
}

GilErrands::Errand* GilErrands::TakeAll() {
  Errand* oldest_first = nullptr;
  for (Errand* errand = posted_.exchange(nullptr, std::memory_order_acquire); errand != nullptr;) {
    Errand* const next = std::exchange(errand->next, oldest_first);
    oldest_first = std::exchange(errand, next);
  }
  return oldest_first;
}

void GilErrands::Run() {
  for (;;) {
    const uint32_t seen_count = news_count_.load(std::memory_order_acquire);
    if (stopping_.load(std::memory_order_acquire)) return;
    Errand* errand = TakeAll();
    if (errand == nullptr) {
      FutexWait(news_count_, seen_count);
      continue;
    }
    const ScopedOsThreadState python;
    while (errand != nullptr) {
      errand->what();
      delete std::exchange(errand, errand->next);
    }
  }
}

}  // namespace greenring::pyhost
