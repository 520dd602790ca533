#include "pyhost/python_os_thread.h"

#include "base/check.h"
#include "pyhost/py_ref.h"
#include "pyhost/python.h"

namespace greenring::pyhost {
namespace {

constinit thread_local PythonOsThread* current = nullptr;

}  // namespace

PythonOsThread::PythonOsThread() : state_(PyThreadState_Get()) {
  GREENRING_CHECK(current == nullptr);
  current = this;
}

PythonOsThread::~PythonOsThread() {
  GREENRING_CHECK(posted_.empty());
  current = nullptr;
}

PythonOsThread* PythonOsThread::Current() { return current; }

void PythonOsThread::Post(Interrupt* interrupt, PyObject* type) {
  GREENRING_CHECK(interrupt->state_ == Interrupt::State::kIdle);
  interrupt->state_ = Interrupt::State::kPosted;
  posted_.push_back({interrupt, type});
  if (!asynchronous_) SetAsynchronous();
}

void PythonOsThread::Withdraw(Interrupt* interrupt) {
  if (interrupt->state_ != Interrupt::State::kPosted) return;
  std::erase_if(posted_, [interrupt](const Posted& posted) { return posted.interrupt == interrupt; });
  interrupt->state_ = Interrupt::State::kIdle;
  TakeBackAsynchronous();
  SetAsynchronous();
}

bool PythonOsThread::RaisePending() {
  if (posted_.empty()) return false;
  TakeBackAsynchronous();
  const PyRef exception(TakeFirst());
  if (exception) PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.get())), exception.get());
  return true;
}

std::optional<PyObject*> PythonOsThread::TakeAsynchronous() {
  PythonOsThread* const self = current;
  if (self == nullptr || !self->asynchronous_) return std::nullopt;
  if (self->state_->async_exc != nullptr) return std::nullopt;  // not raised yet: the application's own instance
  self->asynchronous_ = false;
  return self->TakeFirst();
}

PyObject* PythonOsThread::TakeFirst() {
  Interrupt* const interrupt = posted_.front().interrupt;
  posted_.erase(posted_.begin());
  interrupt->state_ = Interrupt::State::kRaised;
  PyObject* const exception = interrupt->NewException();
  interrupt->OnRaised();
  SetAsynchronous();
  return exception;
}

void PythonOsThread::SetAsynchronous() {
  if (posted_.empty() || drops_note_) return;
  asynchronous_ = true;
  PyThreadState_SetAsyncExc(state_->thread_id, posted_.front().type);
}

void PythonOsThread::TakeBackAsynchronous() {
  if (!asynchronous_) return;
  asynchronous_ = false;
  if (state_->async_exc == nullptr) return;  // raised, and nobody has looked at it
  PyThreadState_SetAsyncExc(state_->thread_id, nullptr);
  drops_note_ = true;  // while that runs, others may have the GIL, and post
  DropAsynchronousNote(state_->thread_id);
  drops_note_ = false;
}

}  // namespace greenring::pyhost
