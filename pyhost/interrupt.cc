#include "pyhost/interrupt.h"

#include <errno.h>
#include <pthread.h>

#include <utility>

#include "base/check.h"
#include "base/reserved_signals.h"
#include "pyhost/py_ref.h"
#include "pyhost/python.h"

namespace greenring::pyhost {
namespace {

// From CPython 3.13 on only the main thread's evaluation loop is told of signals: the one that passes for it has to be
// told as well, so that it looks at its next bytecode even where a library has ignored EINTR. Without the GIL.
void TellToLook() {
#if PY_VERSION_HEX >= 0x030D0000
  constexpr uintptr_t kSignalsPending = 1u << 1;  // _PY_SIGNALS_PENDING_BIT
  PyThreadState* const state = PyGILState_GetThisThreadState();
  if (state != nullptr) __atomic_fetch_or(&state->eval_breaker, kSignalsPending, __ATOMIC_SEQ_CST);
#endif
}

}  // namespace

// CPython's note of asynchronous exceptions is one for all threads (before 3.13), and is dropped where one is raised.
// Those of others are noted anew when they take the GIL.
void DropAsynchronousNote(uintptr_t handle) {
  if (PyThreadState_SetAsyncExc(handle, PyExc_KeyboardInterrupt) == 0) return;
  const PyRef globals(PyDict_New());
  const PyRef result(globals ? PyRun_String("pass", Py_file_input, globals.get(), globals.get()) : nullptr);
  PyErr_Clear();
}

constinit int Interruptible::signal_ = 0;
constinit uintptr_t Interruptible::main_handle_ = 0;

Interrupt::~Interrupt() { GREENRING_CHECK(state_ != State::kPosted); }

void Interruptible::Start() {
  static PyMethodDef method = {"raise_interrupt", &OnSignal, METH_VARARGS, nullptr};
  const PyRef handler(PyCFunction_New(&method, nullptr));
  const PyRef module(PyImport_ImportModule("signal"));
  GREENRING_CHECK(handler && module);
  const PyRef before(PyObject_CallMethod(module.get(), "signal", "iO", InterruptSignal(), handler.get()));
  GREENRING_CHECK(before);
  signal_ = InterruptSignal();
  main_handle_ = PyThread_get_thread_ident();
}

Interruptible::Interruptible() : thread_(green::GreenThread::Current()), handle_(thread_->handle()) {
  GREENRING_CHECK(thread_->host_record() == nullptr);
  thread_->set_host_record(this);
}

Interruptible::~Interruptible() {
  while (Interrupt* interrupt = posted_.front()) Withdraw(interrupt);
  Settle();
  thread_->set_host_record(nullptr);
}

Interruptible* Interruptible::CurrentOrNew() {
  green::GreenThread* const thread = green::GreenThread::Current();
  if (thread == nullptr || thread->is_os_thread()) return nullptr;
  if (Interruptible* const interruptible = Of(thread); interruptible != nullptr) {
    return interruptible->hub() == nullptr ? interruptible : nullptr;
  }
  // Deleted at the green thread's end, as the values of pthread keys are.
  static const pthread_key_t key = [] {
    pthread_key_t created;
    GREENRING_CHECK(pthread_key_create(&created, [](void* value) {
                      auto* const interruptible = static_cast<Interruptible*>(value);
                      const PyGILState_STATE state = PyGILState_Ensure();
                      interruptible->Reset();
                      PyGILState_Release(state);
                      delete interruptible;
                    }) == 0);
    return created;
  }();
  auto* const interruptible = new Interruptible();
  GREENRING_CHECK(pthread_setspecific(key, interruptible) == 0);
  return interruptible;
}

// ---- posting -------------------------------------------------------------------------------------------------------

void Interruptible::Post(Interrupt* interrupt) {
  GREENRING_CHECK(interrupt->state_ == Interrupt::State::kIdle);
  interrupt->state_ = Interrupt::State::kPosted;
  posted_.PushBack(interrupt);
  if (is_lost()) return;
  green::Scheduler* const scheduler = thread_->scheduler();
  const bool is_parked = thread_->state() == green::GreenThread::State::kParked;
  scheduler->Cancel(thread_);
  if (!is_parked) SendCourier();
  if (!insist_.armed()) scheduler->AddTimer(&insist_, scheduler->clock()->NowNs() + kInsistNs);
}

void Interruptible::Withdraw(Interrupt* interrupt) {
  if (interrupt->state_ != Interrupt::State::kPosted) return;
  interrupt->Unlink();
  interrupt->state_ = Interrupt::State::kIdle;
  if (!pending()) Settle();
  if (!asynchronous_) return;
  if (green::GreenThread::Current() == thread_ && PyGILState_Check()) {
    SetAsynchronous();
  } else {
    SendCourier();
  }
}

void Interruptible::Reset() {
  while (Interrupt* interrupt = posted_.front()) Withdraw(interrupt);
  while (Dependent* dependent = dependents_.PopFront()) dependent->OnCutLoose();
}

void Interruptible::Settle() {
  thread_->scheduler()->WithdrawCancel(thread_);
  thread_->scheduler()->RemoveTimer(&insist_);
  delivery_.Unlink();
  EndLook();
}

// ---- in a wait -----------------------------------------------------------------------------------------------------

int Interruptible::OnCancelled(bool may_fail) {
  Interruptible* const self = Current();
  const bool pending = self != nullptr && self->pending();
  // Withdrawn while the call was being ended: it is tried again, as after any signal.
  if (!pending && self != nullptr && !self->thread_->cancel_pending()) return EINTR;
  if (!pending) return may_fail ? ECANCELED : 0;
  if (!self->awaits_look_ && signal_ != 0) {
    self->awaits_look_ = true;
    self->Pretend();
    return EINTR;
  }
  // Nobody has looked: it is not CPython that waits.
  self->EndLook();
  if (!may_fail) return 0;
  self->GrantCleanUp();
  return ECANCELED;
}

// The library's error unwinds, and what the application does about it takes its time: it may tell a server.
void Interruptible::GrantCleanUp() {
  green::Scheduler* const scheduler = thread_->scheduler();
  scheduler->ClearCancel();
  scheduler->RemoveTimer(&insist_);
  scheduler->AddTimer(&insist_, scheduler->clock()->NowNs() + kCleanUpNs);
}

bool Interruptible::IsUnheeded() {
  Interruptible* const self = Current();
  if (self == nullptr || !self->awaits_look_) return false;
  self->EndLook();
  return true;
}

void Interruptible::Pretend() {
  thread_->set_handle(main_handle_);
  PyErr_SetInterruptEx(signal_);  // anew after a switch: the real main thread may have taken the last one
  TellToLook();
}

void Interruptible::EndLook() {
  if (!awaits_look_) return;
  awaits_look_ = false;
  EndPretence();
  // CPython notes that there are signals, which slows every thread down until its main thread has looked at them.
  green::GreenThread* const main_thread = thread_->scheduler()->os_thread();
  if (main_thread != nullptr) thread_->scheduler()->Unpark(main_thread);
}

PyObject* Interruptible::OnSignal(PyObject*, PyObject*) {
  Interruptible* const self = Current();
  if (self != nullptr && self->RaisePending()) return nullptr;
  Py_RETURN_NONE;
}

bool Interruptible::RaisePending() {
  if (!pending()) return false;
  TakeBackAsynchronous();
  const PyRef exception(TakeFirst());
  if (exception) PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.get())), exception.get());
  return true;
}

PyObject* Interruptible::TakeFirst() {
  Interrupt* const interrupt = posted_.PopFront();
  interrupt->state_ = Interrupt::State::kRaised;
  Settle();
  if (pending()) Insist(&insist_);
  makes_exception_ = true;
  PyObject* const exception = interrupt->NewException();
  makes_exception_ = false;
  interrupt->OnRaised();
  return exception;
}

// ---- in running code -----------------------------------------------------------------------------------------------

void Interruptible::Insist(green::Timer* timer) {
  Interruptible* const self = static_cast<InsistTimer*>(timer)->on;
  if (self->is_lost()) return;
  green::Scheduler* const scheduler = self->thread_->scheduler();
  self->EndLook();
  scheduler->Cancel(self->thread_);
  self->SendCourier();
  scheduler->AddTimer(timer, scheduler->clock()->NowNs() + kInsistNs);
}

namespace {

// Who waits for the courier. Of the one scheduler whose green threads run Python.
template <typename T>
IntrusiveList<T>* Deliveries() {
  static auto* const deliveries = new IntrusiveList<T>();
  return deliveries;
}

constinit bool courier_runs = false;

// An asynchronous exception was taken back: CPython would look for it at every check from here on.
constinit bool note_is_stale = false;

}  // namespace

void Interruptible::SendCourier() {
  if (!delivery_.linked()) Deliveries<Delivery>()->PushBack(&delivery_);
  StartCourier();
}

void Interruptible::StartCourier() {
  if (courier_runs) return;
  courier_runs = true;
  thread_->scheduler()->Spawn(&RunCourier, {.name = "courier"});
}

void Interruptible::RunCourier() {
  while (!Deliveries<Delivery>()->empty() || note_is_stale) {
    PyThreadState* const state = PyThreadState_New(PyInterpreterState_Main());
    GREENRING_CHECK(state != nullptr);
    PyEval_RestoreThread(state);
    while (Delivery* delivery = Deliveries<Delivery>()->PopFront()) delivery->to->SetAsynchronous();
    if (std::exchange(note_is_stale, false)) DropAsynchronousNote(green::GreenThread::Current()->handle());
    PyThreadState_Clear(state);
    PyThreadState_DeleteCurrent();
  }
  courier_runs = false;
}

void Interruptible::SetAsynchronous() {
  TakeBackAsynchronous();
  if (!pending()) return;
  makes_exception_ = true;
  const PyRef exception(posted_.front()->NewException());
  makes_exception_ = false;
  if (!exception) {
    PyErr_Clear();  // no memory: tried again by Insist
    return;
  }
  asynchronous_ = true;
  PyThreadState_SetAsyncExc(handle_, reinterpret_cast<PyObject*>(Py_TYPE(exception.get())));
}

void Interruptible::TakeBackAsynchronous() {
  if (!asynchronous_) return;
  asynchronous_ = false;
  PyThreadState_SetAsyncExc(handle_, nullptr);
  note_is_stale = true;
  StartCourier();
}

std::optional<PyObject*> Interruptible::TakeAsynchronous() {
  Interruptible* const self = Current();
  if (self == nullptr || !self->asynchronous_ || self->makes_exception_ || !self->pending()) return std::nullopt;
  if (PyThreadState_Get()->async_exc != nullptr) return std::nullopt;  // not raised yet: the application's own instance
  self->asynchronous_ = false;
  return self->TakeFirst();
}

}  // namespace greenring::pyhost
