#include "pyhost/hub_wait.h"

#include <utility>

#include "base/clock.h"
#include "green/scheduler.h"
#include "pyhost/python.h"

namespace greenring::pyhost {

HubWait::~HubWait() {
  woken_.Unlink();
  due_.Unlink();
}

void HubWait::Wake() {
  if (green::Scheduler::Current() == hub_->scheduler()) {
    hub_->MakeDue(&woken_);
  } else {
    hub_->MakeDueRemotely(&woken_);
  }
}

void HubWait::Exit(PyObject* exit) {
  exit_ = PyRef::Share(exit);
  hub_->MakeDue(&due_);
}

void HubWait::OnDeadline(green::Timer* timer) {
  HubWait* const wait = static_cast<DeadlineTimer*>(timer)->wait;
  wait->hub_->MakeDue(&wait->due_);
}

void HubWait::Turn::OnDue() {
  if (!std::exchange(wait_->has_ended_, true)) wait_->end_ = end_;
  const PyRef greenlet = PyRef::Share(wait_->greenlet_.get());
  wait_->hub_->SwitchTo(greenlet.get(), nullptr);
}

HubWait::End HubWait::Park(int64_t deadline_ns) {
  greenlet_ = hub_->CurrentGreenlet();
  if (hub_->IsHubGreenlet(greenlet_.get())) {
    PyErr_Format(PyExc_RuntimeError,
                 "the %s itself cannot wait: all its greenlets would have to. Do it in a greenlet of its own",
                 hub_->name());
    return End::kThrown;
  }
  green::Scheduler* const scheduler = hub_->scheduler();
  hub_->AddWait(this);
  if (deadline_ns != kNeverNs) scheduler->AddTimer(&timer_, deadline_ns);
  const End end = SwitchUntilEnd();
  scheduler->RemoveTimer(&timer_);
  hub_->RemoveWait(this);
  return end;
}

// Somebody else may switch to the greenlet, too, which means nothing.
HubWait::End HubWait::SwitchUntilEnd() {
  while (!has_ended_) {
    if (!hub_->SwitchToHub()) return End::kThrown;
  }
  if (exit_) {
    PyErr_SetNone(exit_.get());
    return End::kThrown;
  }
  return hub_->RaisePending() ? End::kThrown : end_;
}

}  // namespace greenring::pyhost
