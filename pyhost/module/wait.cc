#include "pyhost/module/wait.h"

#include <algorithm>
#include <memory>

#include "base/check.h"
#include "green/scoped_wait.h"
#include "pyhost/green_pool.h"
#include "pyhost/hub.h"
#include "pyhost/interrupt_errors.h"

namespace greenring::pyhost {

green::GreenThread* CurrentGreenThread() {
  return GreenPool::in_forked_child() ? nullptr : green::GreenThread::Current();
}

Wait::Wait(const char* call) : thread_(CurrentGreenThread()), call_(call) {
  if (thread_ == nullptr) return;
  if (Hub* const hub = Hub::Current(); hub != nullptr) hub_wait_.emplace(hub);
}

Wait::~Wait() {
  if (os_lock_ != nullptr) PyThread_free_lock(os_lock_);
}

void Wait::StandIn(Line* line, Waiter* waiter) {
  waiter->wait_ = this;
  waiter->next_ = first_;
  first_ = waiter;
  line->PushBack(waiter);
}

void Wait::LeaveLines() {
  for (Waiter* waiter = first_; waiter != nullptr; waiter = waiter->next_) waiter->Unlink();
}

WaitResult Wait::Park(int64_t deadline_ns) {
  if (hub_wait_.has_value()) return ParkGreenlet(deadline_ns);
  return thread_ != nullptr ? ParkGreenThread(deadline_ns) : BlockOsThread(deadline_ns);
}

WaitResult Wait::ParkGreenlet(int64_t deadline_ns) {
  const HubWait::End end = hub_wait_->Park(deadline_ns);
  if (end != HubWait::End::kThrown && answered_ != nullptr) return result_;
  LeaveLines();
  return end == HubWait::End::kThrown ? WaitResult::kInterrupted : WaitResult::kTimedOut;
}

WaitResult Wait::ParkGreenThread(int64_t deadline_ns) {
  const green::ScopedCallName name(thread_, call_);
  for (;;) {
    const green::ParkResult parked = thread_->scheduler()->Park(deadline_ns);
    if (answered_ != nullptr) return result_;
    if (parked == green::ParkResult::kUnparked) continue;
    LeaveLines();
    if (parked == green::ParkResult::kTimedOut) return WaitResult::kTimedOut;
    InterruptErrors::Raise();
    return WaitResult::kInterrupted;
  }
}

WaitResult Wait::BlockOsThread(int64_t deadline_ns) {
  os_lock_ = GreenPool::open_pool() != nullptr ? PyThread_allocate_lock() : nullptr;
  if (os_lock_ == nullptr) {
    LeaveLines();
    PyErr_SetString(
        PyExc_RuntimeError,
        GreenPool::in_forked_child()
            ? "nothing to wait for: this process was made by fork, and has no green threads but the one "
              "that forked"
            : "nothing to wait for yet: green threads run when the application is imported and the server is "
              "ready; wait in a request, or in a function given to greenring.go()");
    return WaitResult::kInterrupted;
  }
  PyThread_acquire_lock(os_lock_, NOWAIT_LOCK);
  while (answered_ == nullptr) {
    const int64_t left_ns = deadline_ns == kNeverNs ? kNeverNs : deadline_ns - Clock::Monotonic()->NowNs();
    if (left_ns <= 0) {
      LeaveLines();
      return WaitResult::kTimedOut;
    }
    const PY_TIMEOUT_T left_us = left_ns == kNeverNs ? -1 : std::min<PY_TIMEOUT_T>(left_ns / 1000 + 1, PY_TIMEOUT_MAX);
    Py_BEGIN_ALLOW_THREADS PyThread_acquire_lock_timed(os_lock_, left_us, /*intr_flag=*/0);
    Py_END_ALLOW_THREADS
  }
  return result_;
}

void Waiter::Answer(WaitResult result) {
  Wait* const wait = wait_;
  GREENRING_DCHECK(wait->answered_ == nullptr);
  wait->LeaveLines();
  wait->answered_ = this;
  wait->result_ = result;
  green::GreenThread* const thread = wait->thread_;
  if (wait->hub_wait_.has_value()) {
    wait->hub_wait_->Wake();
  } else if (thread == nullptr) {
    PyThread_release_lock(wait->os_lock_);
  } else if (green::Scheduler::Current() != thread->scheduler()) {
    thread->scheduler()->UnparkRemote(thread);
  } else if (thread->state() == green::GreenThread::State::kParked) {
    // Else its deadline or an interrupt has made it runnable: it will see the answer, and a permit would outlive it.
    thread->scheduler()->Unpark(thread);
  }
}

namespace {

struct Place {
  explicit Place(const char* call) : wait(call) {}
  Wait wait;
  Waiter waiter;
};

WaitResult WaitAt(Place* place, Line* line, PyObject** value, int64_t timeout_ns) {
  if (value != nullptr) place->waiter.value = *value;
  place->wait.StandIn(line, &place->waiter);
  const WaitResult result = place->wait.Park(DeadlineAfter(timeout_ns));
  if (value != nullptr) *value = place->waiter.value;
  return result;
}

}  // namespace

WaitResult WaitInLine(Line* line, PyObject** value, int64_t timeout_ns, const char* call) {
  if (Hub::Current() != nullptr) return WaitAt(std::make_unique<Place>(call).get(), line, value, timeout_ns);
  Place place(call);
  return WaitAt(&place, line, value, timeout_ns);
}

int64_t DeadlineAfter(int64_t timeout_ns) {
  if (timeout_ns == kNeverNs) return kNeverNs;
  const green::Scheduler* const scheduler = green::Scheduler::Current();
  Clock* const clock = scheduler != nullptr ? scheduler->clock() : Clock::Monotonic();
  return InstantAfter(clock->NowNs(), timeout_ns);
}

}  // namespace greenring::pyhost
