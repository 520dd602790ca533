#include "pyhost/hub.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "pyhost/core_greenlet.h"
#include "pyhost/gil.h"
#include "pyhost/hub_wait.h"
#include "pyhost/interrupt.h"
#include "pyhost/python.h"
#include "pyhost/python_error.h"

namespace greenring::pyhost {

Hub::Hub(green::Scheduler* scheduler, const char* name, size_t stack_size_bytes, ErrorLog* error_log)
    : scheduler_(scheduler), name_(name), stack_size_bytes_(stack_size_bytes), error_log_(error_log) {}

// What its green thread has left in the middle of something stays so.
Hub::~Hub() {
  for (IntrusiveList<Due>* list : {&due_, &remote_due_, &serving_}) {
    while (list->PopFront() != nullptr) continue;
  }
  while (waits_.PopFront() != nullptr) continue;
}

Hub* Hub::Current() {
  const Interruptible* const interruptible = Interruptible::Current();
  return interruptible != nullptr ? interruptible->hub() : nullptr;
}

// ---- its life ------------------------------------------------------------------------------------------------------

void Hub::Start() {
  const green::SpawnSettings settings = {.engine = scheduler_->engine(), .stack_size_bytes = stack_size_bytes_};
  thread_ = scheduler_->Spawn([this] { Main(); }, {.name = name_, .settings = settings});
}

void Hub::Stop(std::function<void()> on_ended) {
  on_ended_ = std::move(on_ended);
  stopping_ = true;
  if (ended_) return on_ended_();
  Wake();
}

void Hub::EndGreenlets() {
  exits_due_ = true;
  if (!ended_) Wake();
}

void Hub::Main() {
  thread_->OnAbandoned(&Hub::OnAbandoned, this);
  {
    const ScopedPythonThread python;
    state_ = PyThreadState_Get();
    Interruptible::Current()->set_hub(this);
    if (RunSource() && SetUp()) {
      Serve();
    } else {
      LogError("the hub cannot start");
      is_broken_ = true;
      while (!stopping_) {
        while (Due* const due = due_.PopFront()) due->OnHubBroken();
        scheduler_->ParkUncancellable();
      }
    }
    thrown_.reset();
    spawned_.clear();
    globals_.reset();
    Interruptible::Current()->set_hub(nullptr);
    Interruptible::Current()->set_request(nullptr);
  }
  ended_ = true;
  if (on_ended_) on_ended_();
}

void Hub::OnAbandoned(green::GreenThread*, void* argument) {
  auto* const self = static_cast<Hub*>(argument);
  self->lost_ = self->ended_ = true;
  self->current_ = nullptr;
  self->owners_.clear();
  CoreGreenlet::OnHubLost(self);
  for (PyRef& function : self->spawned_) static_cast<void>(function.release());
  self->spawned_.clear();
  static_cast<void>(self->thrown_.release());
  static_cast<void>(self->globals_.release());
  self->OnLost();
  if (self->on_ended_) self->on_ended_();
}

bool Hub::RunSource() {
  globals_.reset(PyDict_New());
  if (!globals_ || PyDict_SetItemString(globals_.get(), "__builtins__", PyEval_GetBuiltins()) != 0) return false;
  const PyRef file(PyUnicode_FromFormat("<%s>", name_));
  const PyRef compile(PyMapping_GetItemString(PyEval_GetBuiltins(), "compile"));
  const PyRef code(compile && file ? PyObject_CallFunction(compile.get(), "sOs", source(), file.get(), "exec")
                                   : nullptr);
  const PyRef run(code ? PyEval_EvalCode(code.get(), globals_.get(), globals_.get()) : nullptr);
  if (!run) return false;
  static PyMethodDef on_switch = {
      "on_switch", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&Hub::OnSwitch)), METH_FASTCALL, nullptr};
  const PyRef callback(NewMethod(&on_switch));
  const PyRef set(callback ? PyObject_CallOneArg(function("settrace"), callback.get()) : nullptr);
  return static_cast<bool>(set);
}

PyObject* Hub::NewMethod(PyMethodDef* method) {
  const PyRef self(PyCapsule_New(this, nullptr, nullptr));
  return self ? PyCFunction_New(method, self.get()) : nullptr;
}

Hub* Hub::Of(PyObject* self) { return static_cast<Hub*>(PyCapsule_GetPointer(self, nullptr)); }

PyObject* Hub::function(const char* name) const {
  PyObject* const found = PyDict_GetItemString(globals_.get(), name);
  GREENRING_CHECK(found != nullptr);
  return found;
}

void Hub::LogError(const char* what) {
  const PyRef exception = TakeException();
  LogMessage(absl::StrCat(what, exception ? absl::StrCat("\n", FormatException(exception.get())) : ""));
}

void Hub::LogMessage(const std::string& message) { error_log_->Message(absl::StrCat(name_, ": ", message)); }

// ---- who is due ----------------------------------------------------------------------------------------------------

void Hub::MakeDue(Due* due) {
  if (lost_) return due->OnHubLost();
  if (due->linked()) return;
  due_.PushBack(due);
  if (is_broken_) {
    scheduler_->Unpark(thread_);
  } else {
    Wake();
  }
}

void Hub::MakeDueRemotely(Due* due) {
  if (due->linked()) return;
  remote_due_.PushBack(due);
  WakeRemotely();
}

// Those that become due meanwhile are served the next time: others come first.
void Hub::ServeDue() {
  serving_.Append(&due_);
  serving_.Append(&remote_due_);
  while (Due* const due = serving_.PopFront()) due->OnDue();
  for (const PyRef& function : std::exchange(spawned_, {})) {
    if (!StartFunction(function.get())) LogError("a greenlet cannot be started");
  }
  if (std::exchange(exits_due_, false)) ThrowExits();
}

bool Hub::Spawn(PyObject* function) {
  if (ended_ || is_broken_) {
    PyErr_Format(PyExc_RuntimeError, "the %s has ended", name_);
    return false;
  }
  spawned_.push_back(PyRef::Share(function));
  Wake();
  return true;
}

void Hub::AddWait(HubWait* wait) { waits_.PushBack(wait); }

void Hub::RemoveWait(HubWait* wait) {
  wait->Unlink();
  if (stopping_ && !has_waits()) Wake();
}

// ---- greenlets -----------------------------------------------------------------------------------------------------

PyRef Hub::NewGreenlet(CoreGreenlet* core, PyObject* run, const std::string& name) {
  PyRef made(PyObject_CallFunction(function("new"), "Os", run, name.c_str()));
  if (made) owners_.emplace(made.get(), core);
  return made;
}

void Hub::NoteDead(PyObject* greenlet) {
  const auto owner = owners_.find(greenlet);
  if (owner == owners_.end()) return;
  CoreGreenlet* const core = owner->second;
  owners_.erase(owner);
  core->OnGreenletEnded();
}

bool Hub::SwitchToHub() {
  thrown_.reset();
  return static_cast<bool>(PyRef(PyObject_CallMethod(hub_greenlet(), "switch", nullptr)));
}

void Hub::SwitchTo(PyObject* greenlet, PyObject* exception) {
  const PyRef alive = PyRef::Share(greenlet);
  const PyRef result(exception == nullptr
                         ? PyObject_CallMethod(greenlet, "switch", nullptr)
                         : PyObject_CallMethod(greenlet, "throw", "OO", Py_TYPE(exception), exception));
  if (!result) LogError("an exception came out of a greenlet");
}

bool Hub::IsDead(PyObject* greenlet) {
  const PyRef is_dead(PyObject_GetAttrString(greenlet, "dead"));
  if (!is_dead) PyErr_Clear();
  return is_dead.get() == Py_True;
}

PyRef Hub::CurrentGreenlet() const {
  PyRef current(PyObject_CallNoArgs(function("getcurrent")));
  GREENRING_CHECK(current);
  return current;
}

bool Hub::RaisePending() {
  if (thrown_) {
    RestoreException(std::move(thrown_));
    return true;
  }
  return current_ != nullptr && current_->RaisePending();
}

// ---- which greenlet runs -------------------------------------------------------------------------------------------

uint64_t Hub::NowTicks() const {
  const uint64_t this_turn =
      scheduler_->current() == thread_ ? scheduler_->NowTicks() - scheduler_->switched_at_ticks() : 0;
  return thread_->run_ticks() + this_turn;
}

// greenlet.settrace's callback: (event, (origin, target)), in the target, after the switch.
PyObject* Hub::OnSwitch(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
  if (count == 2 && PyTuple_Check(arguments[1]) && PyTuple_GET_SIZE(arguments[1]) == 2) {
    Of(self)->NoteSwitch(PyTuple_GET_ITEM(arguments[1], 0), PyTuple_GET_ITEM(arguments[1], 1));
  }
  Py_RETURN_NONE;
}

void Hub::NoteSwitch(PyObject* origin, PyObject* target) {
  if (owners_.contains(origin) && IsDead(origin)) NoteDead(origin);
  CoreGreenlet* const next = OwnerOf(target);
  CoreGreenlet* const before = std::exchange(current_, next);
  if (before != next) {
    const uint64_t now_ticks = NowTicks();
    if (before != nullptr) before->OnSwitchedOut(now_ticks - switched_at_ticks_);
    switched_at_ticks_ = now_ticks;
    Interruptible::Current()->set_request(next != nullptr ? next->request() : nullptr);
  }
  if (next != nullptr) next->OnSwitchedIn(target);
}

// A greenlet that a request has begun by itself has it among its parents.
CoreGreenlet* Hub::OwnerOf(PyObject* greenlet) const {
  PyRef one = PyRef::Share(greenlet);
  while (one && one.get() != Py_None && one.get() != hub_greenlet()) {
    const auto owner = owners_.find(one.get());
    if (owner != owners_.end()) return owner->second;
    one.reset(PyObject_GetAttrString(one.get(), "parent"));
  }
  if (!one) PyErr_Clear();
  return nullptr;
}

}  // namespace greenring::pyhost
