#include "pyhost/thread_current_core.h"

#include <poll.h>
#include <sched.h>

#include <cerrno>
#include <vector>

#include "base/clock.h"
#include "green/scheduler.h"
#include "pyhost/core_greenlet.h"
#include "pyhost/current_request.h"
#include "pyhost/green_pool.h"
#include "pyhost/hub.h"
#include "pyhost/interrupt_errors.h"
#include "pyhost/poll_until.h"
#include "pyhost/python.h"

namespace greenring::pyhost {
namespace {

constexpr size_t kFdsOnStackMax = 8;

// PollUntil without the GIL. CPython raises what ends the wait from outside, as it does for its own select.poll.
// Negative with a Python error.
int PollOnThread(std::span<pollfd> polled, int64_t deadline_ns) {
  for (;;) {
    int ready;
    int error_number;
    Py_BEGIN_ALLOW_THREADS ready = PollUntil(polled, deadline_ns);
    error_number = errno;
    Py_END_ALLOW_THREADS if (ready >= 0) return ready;
    if (error_number != EINTR) {
      errno = error_number;
      PyErr_SetFromErrno(PyExc_OSError);
      return -1;
    }
    if (PyErr_CheckSignals() < 0) return -1;
  }
}

// Of a greenlet that is no request's, if it knows of those.
Hub* HubHere() {
  Hub* const hub = GreenPool::in_forked_child() ? nullptr : Hub::Current();
  return hub != nullptr && hub->schedules_greenlets() ? hub : nullptr;
}

int PollHere(std::span<pollfd> polled, int64_t deadline_ns) {
  if (CoreGreenlet* const greenlet = CoreGreenlet::Current(); greenlet != nullptr) {
    return greenlet->Poll(polled, deadline_ns);
  }
  if (Hub* const hub = HubHere(); hub != nullptr) return hub->Poll(polled, deadline_ns);
  return PollOnThread(polled, deadline_ns);
}

}  // namespace

bool YieldThread() {
  if (CoreGreenlet* const greenlet = CoreGreenlet::Current(); greenlet != nullptr) return greenlet->Yield();
  if (Hub* const hub = HubHere(); hub != nullptr) return hub->Yield();
  green::GreenThread* const self = GreenPool::in_forked_child() ? nullptr : green::GreenThread::Current();
  if (self == nullptr) {
    Py_BEGIN_ALLOW_THREADS sched_yield();
    Py_END_ALLOW_THREADS return true;
  }
  self->scheduler()->Yield();
  if (!self->cancel_pending()) return true;
  InterruptErrors::Raise();
  return false;
}

int WaitOnThread(std::span<const WaitFd> fds, int64_t timeout_ns) {
  pollfd on_stack[kFdsOnStackMax];
  std::vector<pollfd> more;
  pollfd* polled = on_stack;
  if (fds.size() > kFdsOnStackMax) {
    more.resize(fds.size());
    polled = more.data();
  }
  for (size_t i = 0; i < fds.size(); ++i) {
    if (fds[i].fd < 0) {  // poll(2) would wait without it, for ever if there is no other
      errno = EBADF;
      PyErr_SetFromErrno(PyExc_OSError);
      return CurrentCore::kFailed;
    }
    polled[i] = {.fd = fds[i].fd, .events = fds[i].events, .revents = 0};
  }
  const int64_t deadline_ns = timeout_ns == kNeverNs ? kNeverNs : InstantAfter(Clock::Monotonic()->NowNs(), timeout_ns);
  const int ready = PollHere({polled, fds.size()}, deadline_ns);
  if (ready < 0) return CurrentCore::kFailed;
  for (size_t i = 0; i < fds.size(); ++i) {
    if (polled[i].revents == 0) continue;
    if ((polled[i].revents & POLLNVAL) == 0) return fds[i].fd;
    errno = EBADF;
    PyErr_SetFromErrno(PyExc_OSError);
    return CurrentCore::kFailed;
  }
  return CurrentCore::kTimedOut;
}

ThreadCurrentCore::ThreadCurrentCore(CurrentRequest* request, Exchange* exchange, int number)
    : request_(request), exchange_(exchange), number_(number) {
  request_->mutable_parts()->core = this;
}

ThreadCurrentCore::~ThreadCurrentCore() {
  attachment_.reset();
  request_->mutable_parts()->core = nullptr;
}

}  // namespace greenring::pyhost
