// A result that Python code waits for, whatever it runs on: a green thread parks, a greenlet of a hub waits in its hub,
// an OS thread blocks.
//
//   auto wait = std::make_shared<PythonWait<int>>();
//   Begin([wait] { if (!wait->Set(42)) Undo(); });       // any thread, later or at once
//   if (std::optional<int> result = wait->Take()) ...    // std::nullopt with a Python error: interrupted
#pragma once

#include <poll.h>
#include <sys/eventfd.h>

#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "pyhost/current_core.h"
#include "pyhost/python.h"
#include "pyhost/thread_current_core.h"

namespace greenring::worker {

template <typename T>
class PythonWait {
 public:
  PythonWait() = default;
  PythonWait(const PythonWait&) = delete;
  PythonWait& operator=(const PythonWait&) = delete;

  // False: nobody waits any more. Once. Thread-safe. Never parks.
  bool Set(T result) {
    const absl::MutexLock lock(&mutex_);
    if (abandoned_) return false;
    result_ = std::move(result);
    if (event_.valid()) eventfd_write(event_.get(), 1);
    return true;
  }

  // Once. GIL held; given up while it waits. Parks.
  std::optional<T> Take() {
    {
      const absl::MutexLock lock(&mutex_);
      if (result_.has_value()) return std::move(result_);
      event_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
      if (!event_.valid()) {
        abandoned_ = true;
        PyErr_SetFromErrno(PyExc_OSError);
        return std::nullopt;
      }
    }
    const pyhost::WaitFd fds[] = {{.fd = event_.get(), .events = POLLIN}};
    pyhost::CurrentCore* const core = pyhost::CurrentCore::Get();
    const int ready = core != nullptr ? core->Wait(fds, kNeverNs) : pyhost::WaitOnThread(fds, kNeverNs);
    const absl::MutexLock lock(&mutex_);
    if (ready != pyhost::CurrentCore::kFailed) return std::move(result_);
    // What came just before the interrupt is there for TakeLate.
    abandoned_ = true;
    return std::nullopt;
  }

  // After Take has returned nothing: the result that came all the same, before it was known that nobody waits.
  std::optional<T> TakeLate() {
    const absl::MutexLock lock(&mutex_);
    return std::exchange(result_, std::nullopt);
  }

 private:
  absl::Mutex mutex_;
  UniqueFd event_;
  std::optional<T> result_ ABSL_GUARDED_BY(mutex_);
  bool abandoned_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace greenring::worker
