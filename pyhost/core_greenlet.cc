#include "pyhost/core_greenlet.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/check.h"
#include "green/scoped_wait.h"
#include "pyhost/poll_until.h"
#include "pyhost/python.h"
#include "pyhost/python_error.h"
#include "pyhost/python_stack.h"

namespace greenring::pyhost {
namespace {

using CoreGreenlets = std::unordered_map<const green::GreenThread*, CoreGreenlet*>;

// Of the one scheduler whose green threads run Python.
CoreGreenlets* All() {
  static auto* const all = new CoreGreenlets();
  return all;
}

// One poll, on the heap: the greenlet that asks for it is switched out meanwhile.
struct HeapPoll {
  // On the core's green thread. Parks.
  void Run() {
    ready = PollUntil(polled, deadline_ns);
    error_number = ready < 0 ? errno : 0;
  }

  std::vector<pollfd> polled;
  const int64_t deadline_ns;
  int ready = 0;
  int error_number = 0;
};

}  // namespace

// What the greenlet's function has of its core, in a capsule: outlives the request if the application keeps the
// greenlet.
struct CoreGreenlet::Ticket {
  CoreGreenlet* core;  // nullptr: the greenlet has ended

  static Ticket* Of(PyObject* capsule) { return static_cast<Ticket*>(PyCapsule_GetPointer(capsule, nullptr)); }
  static void Destroy(PyObject* capsule) { delete Of(capsule); }
};

CoreGreenlet::CoreGreenlet(Hub* hub) : hub_(hub), thread_(hub->scheduler()->current()) {
  GREENRING_CHECK(All()->emplace(thread_, this).second);
}

CoreGreenlet::~CoreGreenlet() {
  GREENRING_CHECK(posted_.empty() && !greenlet_);
  All()->erase(thread_);
}

const CoreGreenlet* CoreGreenlet::Of(const green::GreenThread* thread) {
  const auto found = All()->find(thread);
  return found != All()->end() ? found->second : nullptr;
}

CoreGreenlet* CoreGreenlet::Current() {
  const Hub* const hub = Hub::Current();
  return hub != nullptr ? hub->current_core() : nullptr;
}

// ---- the core's green thread ---------------------------------------------------------------------------------------

bool CoreGreenlet::Run(std::string name, std::function<void()> handle) {
  name_ = std::move(name);
  handle_ = std::move(handle);
  ran_ = ended_ = lost_ = ends_calls_ = false;
  run_ticks_ = switches_ = 0;
  green::Scheduler* const scheduler = hub_->scheduler();
  const green::ScopedWait noted(thread_, {.call = hub_->name()});
  hub_->MakeDue(this);
  while (!ended_) {
    if (call_state_ != Call::kAsked) {
      scheduler->ParkUncancellable();
      continue;
    }
    call_();
    call_ = nullptr;
    scheduler->ClearCancel();  // what was to be ended has ended: clean-up may wait again
    call_state_ = Call::kDone;
    hub_->MakeDue(this);
  }
  Unlink();
  handle_ = nullptr;
  call_ = nullptr;
  call_state_ = Call::kNone;
  return ran_;
}

// ---- the greenlet --------------------------------------------------------------------------------------------------

void CoreGreenlet::OnDue() {
  if (ended_) return;
  if (!greenlet_) {
    BeginGreenlet();
  } else if (call_state_ == Call::kDone) {
    if (!yielding_.empty()) hub_->MakeDue(this);
    const PyRef caller = PyRef::Share(caller_.get());
    hub_->SwitchTo(caller.get(), nullptr);
  } else if (ends_calls_ && !caller_) {
    const PyRef greenlet = PyRef::Share(greenlet_.get());
    hub_->SwitchTo(greenlet.get(), nullptr);
  } else if (!yielding_.empty()) {
    const PyRef first = std::move(yielding_.front().greenlet);
    yielding_.erase(yielding_.begin());
    if (!yielding_.empty()) hub_->MakeDue(this);
    hub_->SwitchTo(first.get(), nullptr);
  } else if (!posted_.empty()) {
    Deliver(/*in_hub=*/true);
  }
}

void CoreGreenlet::BeginGreenlet() {
  static PyMethodDef run = {"run_request", &CoreGreenlet::RunHandle, METH_NOARGS, nullptr};
  ticket_.reset(PyCapsule_New(new Ticket{this}, nullptr, &Ticket::Destroy));
  const PyRef function(ticket_ ? PyCFunction_New(&run, ticket_.get()) : nullptr);
  if (function) greenlet_ = hub_->NewGreenlet(this, function.get(), name_);
  if (!greenlet_) {
    hub_->LogError("a request's greenlet cannot be made");
    OnGreenletEnded();
    return;
  }
  active_ = PyRef::Share(greenlet_.get());
  hub_->Begin(greenlet_.get());
}

PyObject* CoreGreenlet::RunHandle(PyObject* capsule, PyObject*) {
  const Ticket* const ticket = Ticket::Of(capsule);
  if (ticket->core == nullptr || ticket->core->ran_) {
    PyErr_SetString(PyExc_RuntimeError, "this greenlet has served its request already");
    return nullptr;
  }
  ticket->core->RunHandle();
  Py_RETURN_NONE;
}

void CoreGreenlet::RunHandle() {
  ran_ = true;
  handle_();
}

void CoreGreenlet::EndCalls() {
  ends_calls_ = true;
  while (caller_) {
    if (call_state_ == Call::kAsked) hub_->scheduler()->Cancel(thread_);
    if (!hub_->SwitchToHub()) PyErr_Clear();
  }
}

void CoreGreenlet::OnGreenletEnded() {
  while (Interruptible::Dependent* dependent = dependents_.PopFront()) dependent->OnCutLoose();
  if (ticket_) Ticket::Of(ticket_.get())->core = nullptr;
  ticket_.reset();
  active_.reset();
  yielding_.clear();
  greenlet_.reset();
  ended_ = true;
  hub_->scheduler()->Unpark(thread_);
}

void CoreGreenlet::OnHubBroken() {
  ended_ = true;
  hub_->scheduler()->Unpark(thread_);
}

void CoreGreenlet::OnHubLost(const Hub* hub) {
  for (const auto& [thread, core] : *All()) {
    if (core->hub_ == hub && core->handle_ != nullptr) core->OnHubLost();
  }
}

void CoreGreenlet::OnHubLost() {
  if (ended_) return;
  ended_ = lost_ = true;
  request_ = nullptr;
  Unlink();
  if (relay_.state_ == Interrupt::State::kPosted) relay_.Unlink();
  relay_.state_ = Interrupt::State::kIdle;
  while (Interrupt* const interrupt = posted_.PopFront()) interrupt->state_ = Interrupt::State::kIdle;
  while (Interruptible::Dependent* dependent = dependents_.PopFront()) dependent->OnLost();
  // Without their thread state they can neither run nor be destroyed.
  for (PyRef* const one : {&greenlet_, &active_, &caller_, &ticket_}) static_cast<void>(one->release());
  for (Yielding& one : yielding_) static_cast<void>(one.greenlet.release());
  yielding_.clear();
  if (call_state_ == Call::kAsked) {
    hub_->scheduler()->Cancel(thread_);
  } else {
    hub_->scheduler()->Unpark(thread_);
  }
}

CoreGreenlet::CallEnd CoreGreenlet::OnLoop(std::function<void()> call) {
  PyRef current = hub_->CurrentGreenlet();
  if (caller_ || ends_calls_ || hub_->IsHubGreenlet(current.get())) return CallEnd::kRefused;
  green::Scheduler* const scheduler = hub_->scheduler();
  caller_ = std::move(current);
  caller_is_own_ = is_current();
  call_ = std::move(call);
  call_state_ = Call::kAsked;
  scheduler->Unpark(thread_);
  PyRef thrown;
  while (call_state_ != Call::kDone) {
    if (hub_->SwitchToHub()) continue;
    thrown = TakeException();
    if (call_state_ == Call::kAsked) scheduler->Cancel(thread_);
  }
  call_state_ = Call::kNone;
  caller_.reset();
  if (ends_calls_) hub_->MakeDue(this);
  if (!thrown) return CallEnd::kDone;
  hub_->KeepThrown(std::move(thrown));
  return CallEnd::kThrown;
}

bool CoreGreenlet::Yield() {
  const uint64_t turn = ++yields_;
  yielding_.push_back({turn, PyRef::Share(active_.get())});
  hub_->MakeDue(this);
  const auto waiting = [&] { return std::ranges::find(yielding_, turn, &Yielding::turn); };
  do {
    if (hub_->SwitchToHub()) continue;
    if (const auto one = waiting(); one != yielding_.end()) yielding_.erase(one);
    return false;
  } while (waiting() != yielding_.end());  // somebody else may have switched to it
  return !RaisePending();
}

int CoreGreenlet::Poll(std::span<pollfd> polled, int64_t deadline_ns) {
  const auto poll =
      std::make_shared<HeapPoll>(HeapPoll{.polled = {polled.begin(), polled.end()}, .deadline_ns = deadline_ns});
  for (;;) {
    if (OnLoop([poll] { poll->Run(); }) == CallEnd::kRefused) {
      PyErr_SetString(PyExc_RuntimeError, "another greenlet of this request waits already, or this is the hub itself");
      return -1;
    }
    if (hub_->RaisePending()) return -1;
    if (poll->error_number == 0) break;
    if (poll->error_number == ECANCELED || poll->error_number == EINTR) continue;  // withdrawn meanwhile
    errno = poll->error_number;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
  }
  std::copy(poll->polled.begin(), poll->polled.end(), polled.begin());
  return poll->ready;
}

// ---- interrupts ----------------------------------------------------------------------------------------------------

void CoreGreenlet::set_request(CurrentRequest* request) {
  request_ = request;
  if (is_current()) Interruptible::Of(hub_->thread())->set_request(request);
}

void CoreGreenlet::Post(Interrupt* interrupt) {
  GREENRING_CHECK(interrupt->state_ == Interrupt::State::kIdle);
  if (lost_) return;
  interrupt->state_ = Interrupt::State::kPosted;
  posted_.PushBack(interrupt);
  Deliver(/*in_hub=*/false);
}

void CoreGreenlet::Withdraw(Interrupt* interrupt) {
  if (interrupt->state_ != Interrupt::State::kPosted) return;
  interrupt->Unlink();
  interrupt->state_ = Interrupt::State::kIdle;
  OnPostedTaken();
}

void CoreGreenlet::OnPostedTaken() {
  const bool is_relayed = relay_.state() == Interrupt::State::kPosted;
  Interruptible::Of(hub_->thread())->Withdraw(&relay_);
  if (!posted_.empty()) {
    if (is_relayed) Deliver(/*in_hub=*/false);  // another one is first now, maybe of another class
    return;
  }
  if (call_state_ == Call::kAsked) hub_->scheduler()->WithdrawCancel(thread_);
}

void CoreGreenlet::Deliver(bool in_hub) {
  if (call_state_ == Call::kAsked && caller_is_own_) return hub_->scheduler()->Cancel(thread_);
  if (is_current()) {
    if (relay_.state() == Interrupt::State::kIdle) Interruptible::Of(hub_->thread())->Post(&relay_);
  } else if (!in_hub) {
    hub_->MakeDue(this);
  } else if (const PyRef exception(TakeFirst()); exception) {
    const PyRef active = PyRef::Share(active_.get());
    hub_->SwitchTo(active.get(), exception.get());
  } else {
    hub_->LogError("the exception for a request cannot be made");
  }
}

PyObject* CoreGreenlet::TakeFirst() {
  Interrupt* const interrupt = posted_.PopFront();
  interrupt->state_ = Interrupt::State::kRaised;
  OnPostedTaken();
  PyObject* const exception = interrupt->NewException();
  interrupt->OnRaised();
  return exception;
}

bool CoreGreenlet::RaisePending() {
  if (posted_.empty()) return false;
  const PyRef exception(TakeFirst());
  if (exception) PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.get())), exception.get());
  return true;
}

PyObject* CoreGreenlet::Relay::NewException() { return core_->posted_.front()->NewException(); }

void CoreGreenlet::Relay::OnRaised() {
  Rearm();
  Interrupt* const interrupt = core_->posted_.PopFront();
  interrupt->state_ = State::kRaised;
  interrupt->OnRaised();
  if (!core_->posted_.empty()) core_->Deliver(/*in_hub=*/false);
}

void CoreGreenlet::OnSwitchedIn(PyObject* greenlet) {
  if (active_.get() != greenlet) active_ = PyRef::Share(greenlet);
  if (!posted_.empty()) Deliver(/*in_hub=*/false);
}

void CoreGreenlet::OnSwitchedOut(uint64_t run_ticks) {
  run_ticks_ += run_ticks;
  ++switches_;
  if (posted_.empty()) return;
  Interruptible::Of(hub_->thread())->Withdraw(&relay_);
  Deliver(/*in_hub=*/false);
}

// ---- looking at it -------------------------------------------------------------------------------------------------

int64_t CoreGreenlet::RunNs() const {
  return hub_->scheduler()->TicksToNs(run_ticks_ + (is_current() ? hub_->current_run_ticks() : 0));
}

std::string CoreGreenlet::PythonStack() const {
  if (is_current()) return FormatPythonStack(hub_->state());
  if (!active_) return "";
  const PyRef frame(PyObject_GetAttrString(active_.get(), "gr_frame"));
  if (!frame) PyErr_Clear();
  return frame && frame.get() != Py_None ? FormatPythonStack(reinterpret_cast<PyFrameObject*>(frame.get())) : "";
}

}  // namespace greenring::pyhost
