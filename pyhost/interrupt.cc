#include "pyhost/interrupt.h"

#include "base/check.h"
#include "pyhost/py_ref.h"
#include "pyhost/python.h"

namespace greenring::pyhost {

Interrupt::~Interrupt() { GREENRING_CHECK(state_ != State::kPosted); }

Interruptible::Interruptible() : thread_(green::GreenThread::Current()) {
  GREENRING_CHECK(thread_ != nullptr && thread_->host_record() == nullptr);
  thread_->set_host_record(this);
}

Interruptible::~Interruptible() {
  while (Interrupt* interrupt = posted_.front()) Withdraw(interrupt);
  thread_->set_host_record(nullptr);
}

void Interruptible::Post(Interrupt* interrupt) {
  GREENRING_CHECK(interrupt->state_ == Interrupt::State::kIdle);
  interrupt->state_ = Interrupt::State::kPosted;
  posted_.PushBack(interrupt);
  thread_->scheduler()->Cancel(thread_);
}

void Interruptible::Withdraw(Interrupt* interrupt) {
  if (interrupt->state_ != Interrupt::State::kPosted) return;
  interrupt->Unlink();
  interrupt->state_ = Interrupt::State::kIdle;
}

bool Interruptible::RaisePending() {
  Interrupt* const interrupt = posted_.PopFront();
  if (interrupt == nullptr) return false;
  interrupt->state_ = Interrupt::State::kRaised;
  if (posted_.empty()) thread_->scheduler()->ClearCancel();
  const PyRef exception(interrupt->NewException());
  if (exception) PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.get())), exception.get());
  interrupt->OnRaised();
  return true;
}

}  // namespace greenring::pyhost
