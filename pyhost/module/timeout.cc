// greenring.timeout: a block of Python code that may take so long, and no longer.
//
// A block's end is not looked at by a clock alone: what has expired and is not raised when the block is left is raised
// there, so a block either took less than its time or raises.
#include <cmath>
#include <cstdint>
#include <new>
#include <utility>

#include "base/clock.h"
#include "green/scheduler.h"
#include "pyhost/core_greenlet.h"
#include "pyhost/hub.h"
#include "pyhost/interrupt.h"
#include "pyhost/interrupt_errors.h"
#include "pyhost/module/parts.h"
#include "pyhost/py_ref.h"

namespace greenring::pyhost {
namespace {

// Whom a block's exception is for: a green thread, or the request whose greenlet runs.
class Target {
 public:
  Target() = default;

  // None: neither can have one. The code that runs now.
  static Target Current() {
    Target target;
    target.greenlet_ = CoreGreenlet::Current();
    if (target.greenlet_ == nullptr) target.thread_ = Interruptible::CurrentOrNew();
    return target;
  }

  bool is_none() const { return thread_ == nullptr && greenlet_ == nullptr; }
  bool is_current() const {
    return greenlet_ != nullptr ? greenlet_ == CoreGreenlet::Current() : thread_ == Interruptible::Current();
  }
  green::Scheduler* scheduler() const {
    return (greenlet_ != nullptr ? greenlet_->thread() : thread_->thread())->scheduler();
  }

  void Post(Interrupt* interrupt) const {
    greenlet_ != nullptr ? greenlet_->Post(interrupt) : thread_->Post(interrupt);
  }
  void Withdraw(Interrupt* interrupt) const {
    greenlet_ != nullptr ? greenlet_->Withdraw(interrupt) : thread_->Withdraw(interrupt);
  }
  void Bind(Interruptible::Dependent* dependent) const {
    greenlet_ != nullptr ? greenlet_->Bind(dependent) : thread_->Bind(dependent);
  }

 private:
  Interruptible* thread_ = nullptr;
  CoreGreenlet* greenlet_ = nullptr;
};

// What a greenring.timeout holds. While it is entered it keeps its Python object alive: the timer refers to it.
class Timeout final : private Interrupt, private Interruptible::Dependent {
 public:
  Timeout(PyObject* object, double seconds) : object_(object), seconds_(seconds) {}

  // False with a Python error.
  bool Enter();

  // What __exit__ does: false with a Python error, which is to be raised instead of `error` (None: there was none).
  bool Exit(PyObject* error);

  // False with a Python error.
  bool Extend(double seconds);

  double seconds() const { return seconds_; }
  bool expired() const { return expired_; }
  double remaining() const;

 private:
  struct ExpiryTimer : green::Timer {
    explicit ExpiryTimer(Timeout* of) : Timer(&Timeout::OnExpiry), of(of) {}
    Timeout* const of;
  };

  PyObject* NewException() override { return InterruptErrors::NewRequestTimeout(seconds_, object_); }
  void OnCutLoose() override;
  void OnLost() override { Leave(); }
  static void OnExpiry(green::Timer* timer);

  int64_t NowNs() const { return entered_on_.scheduler()->clock()->NowNs(); }
  void StartTimer();
  void Expire();
  void Leave();

  PyObject* const object_;
  const double seconds_;
  Target entered_on_;
  int64_t deadline_ns_ = kNeverNs;
  bool expired_ = false;
  ExpiryTimer timer_{this};
};

int64_t AfterNs(int64_t from_ns, double seconds) {
  const double ns = seconds * static_cast<double>(kNanosecondsPerSecond);
  if (ns >= static_cast<double>(kNeverNs)) return kNeverNs;
  return InstantAfter(from_ns, ns <= 0 ? 0 : static_cast<int64_t>(ns));
}

bool Timeout::Enter() {
  if (!entered_on_.is_none()) {
    PyErr_SetString(PyExc_RuntimeError, "this greenring.timeout is entered already: make one for each block");
    return false;
  }
  entered_on_ = Target::Current();
  if (entered_on_.is_none() && Hub::Current() != nullptr) {
    PyErr_SetString(PyExc_RuntimeError,
                    "greenring.timeout works in requests, and in greenlets that they switch to themselves: in one that "
                    "was spawned use gevent.Timeout");
    return false;
  }
  if (entered_on_.is_none()) {
    PyErr_SetString(PyExc_RuntimeError,
                    "greenring.timeout works in green threads only: use it in a request, or in a thread that was "
                    "started by greenring.go() or under --python_threads=green");
    return false;
  }
  Py_INCREF(object_);
  Rearm();
  expired_ = false;
  deadline_ns_ = AfterNs(NowNs(), seconds_);
  entered_on_.Bind(this);
  StartTimer();
  return true;
}

void Timeout::StartTimer() {
  if (seconds_ <= 0) {
    Expire();  // at once, not in the loop's next turn
  } else if (deadline_ns_ != kNeverNs) {
    entered_on_.scheduler()->AddTimer(&timer_, deadline_ns_);
  }
}

void Timeout::OnExpiry(green::Timer* timer) { static_cast<ExpiryTimer*>(timer)->of->Expire(); }

void Timeout::Expire() {
  expired_ = true;
  entered_on_.Post(this);
}

bool Timeout::Exit(PyObject* error) {
  if (entered_on_.is_none()) return true;  // cut loose
  const bool is_own = entered_on_.is_current();
  const bool due = state() == State::kPosted;
  const bool late = state() == State::kIdle && NowNs() >= deadline_ns_;
  Leave();
  expired_ |= late;
  // A generator's block may be left by another green thread: it has nothing to do with the time.
  const bool raises = is_own && (error == Py_None ? due || late : due && PyObject_IsInstance(error, PyExc_Exception));
  bool left = true;
  if (raises) {
    left = false;
    if (const PyRef exception(NewException()); exception) {
      if (error != Py_None) PyException_SetCause(exception.get(), PyRef::Share(error).release());
      PyErr_SetObject(InterruptErrors::RequestTimeout(), exception.get());
    }
  }
  Py_DECREF(object_);
  return left;
}

void Timeout::Leave() {
  const Target target = std::exchange(entered_on_, Target());
  target.scheduler()->RemoveTimer(&timer_);
  target.Withdraw(this);
  Dependent::Unlink();
}

// Its block was never left: a generator that is kept somewhere.
void Timeout::OnCutLoose() {
  Leave();
  Py_DECREF(object_);
}

bool Timeout::Extend(double seconds) {
  if (entered_on_.is_none() || expired_) {
    PyErr_SetString(PyExc_RuntimeError, expired_ ? "this greenring.timeout has expired: it cannot be extended"
                                                 : "only a greenring.timeout that is entered can be extended");
    return false;
  }
  if (seconds < 0) {
    PyErr_SetString(PyExc_ValueError, "a greenring.timeout is extended by 0 or more seconds");
    return false;
  }
  if (deadline_ns_ == kNeverNs) return true;
  entered_on_.scheduler()->RemoveTimer(&timer_);
  deadline_ns_ = AfterNs(deadline_ns_, seconds);
  if (deadline_ns_ != kNeverNs) entered_on_.scheduler()->AddTimer(&timer_, deadline_ns_);
  return true;
}

double Timeout::remaining() const {
  if (entered_on_.is_none()) return expired_ ? 0 : seconds_;
  if (deadline_ns_ == kNeverNs) return HUGE_VAL;
  const int64_t left_ns = deadline_ns_ - NowNs();
  return left_ns <= 0 ? 0 : static_cast<double>(left_ns) / static_cast<double>(kNanosecondsPerSecond);
}

// ---- the Python type -----------------------------------------------------------------------------------------------

struct TimeoutObject {
  PyObject_HEAD;
  Timeout timeout;
};

Timeout* Of(PyObject* self) { return &reinterpret_cast<TimeoutObject*>(self)->timeout; }

bool ToSeconds(PyObject* number, double* seconds) {
  *seconds = PyFloat_AsDouble(number);
  if (*seconds == -1 && PyErr_Occurred() != nullptr) return false;
  if (!std::isnan(*seconds)) return true;
  PyErr_SetString(PyExc_ValueError, "the number of seconds is not a number");
  return false;
}

PyObject* New(PyTypeObject* type, PyObject* arguments, PyObject* keywords) {
  static const char* names[] = {"seconds", nullptr};
  PyObject* number = nullptr;
  double seconds = 0;
  if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O:timeout", const_cast<char**>(names), &number) ||
      !ToSeconds(number, &seconds)) {
    return nullptr;
  }
  PyObject* const self = type->tp_alloc(type, 0);
  if (self != nullptr) new (Of(self)) Timeout(self, seconds);
  return self;
}

void Deallocate(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  Of(self)->~Timeout();
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* Enter(PyObject* self, PyObject*) { return Of(self)->Enter() ? PyRef::Share(self).release() : nullptr; }

PyObject* Exit(PyObject* self, PyObject* arguments) {
  PyObject* type = Py_None;
  PyObject* error = Py_None;
  PyObject* traceback = Py_None;
  if (!PyArg_ParseTuple(arguments, "OOO:__exit__", &type, &error, &traceback)) return nullptr;
  const PyRef alive = PyRef::Share(self);
  return Of(self)->Exit(error) ? PyBool_FromLong(0) : nullptr;
}

PyObject* Extend(PyObject* self, PyObject* number) {
  double seconds = 0;
  if (!ToSeconds(number, &seconds) || !Of(self)->Extend(seconds)) return nullptr;
  Py_RETURN_NONE;
}

// As a decorator: each call of the function has the time.
constexpr char kDecorator[] =
    "import functools\n"
    "def limit(timeout, function):\n"
    "    @functools.wraps(function)\n"
    "    def limited(*args, **kwargs):\n"
    "        with type(timeout)(timeout.seconds):\n"
    "            return function(*args, **kwargs)\n"
    "    return limited\n";

PyObject* Call(PyObject* self, PyObject* arguments, PyObject* keywords) {
  PyObject* function = nullptr;
  static const char* names[] = {"function", nullptr};
  if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O", const_cast<char**>(names), &function)) return nullptr;
  static PyObject* limit = nullptr;
  if (limit == nullptr) {
    const PyRef globals(PyDict_New());
    if (!globals || PyDict_SetItemString(globals.get(), "__builtins__", PyEval_GetBuiltins()) != 0) return nullptr;
    const PyRef result(PyRun_String(kDecorator, Py_file_input, globals.get(), globals.get()));
    if (!result) return nullptr;
    limit = PyRef::Share(PyDict_GetItemString(globals.get(), "limit")).release();
  }
  return PyObject_CallFunctionObjArgs(limit, self, function, nullptr);
}

PyMethodDef kMethods[] = {
    {"__enter__", &Enter, METH_NOARGS, nullptr},
    {"__exit__", &Exit, METH_VARARGS, nullptr},
    {"extend", &Extend, METH_O, "extend($self, seconds, /)\n--\n\nGives the block that many seconds more."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef kAttributes[] = {
    {"seconds", [](PyObject* self, void*) { return PyFloat_FromDouble(Of(self)->seconds()); }, nullptr,
     "How long the block may take.", nullptr},
    {"expired", [](PyObject* self, void*) { return PyBool_FromLong(Of(self)->expired()); }, nullptr,
     "Whether the time was over before the block was left.", nullptr},
    {"remaining", [](PyObject* self, void*) { return PyFloat_FromDouble(Of(self)->remaining()); }, nullptr,
     "The seconds that are left; 0 when the time is over.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot kSlots[] = {
    {Py_tp_doc, const_cast<char*>("timeout(seconds)\n--\n\n"
                                  "Context manager and decorator: RequestTimeout is raised in the block when it takes "
                                  "longer.")},
    {Py_tp_new, reinterpret_cast<void*>(&New)},
    {Py_tp_dealloc, reinterpret_cast<void*>(&Deallocate)},
    {Py_tp_call, reinterpret_cast<void*>(&Call)},
    {Py_tp_methods, kMethods},
    {Py_tp_getset, kAttributes},
    {0, nullptr},
};

PyType_Spec kSpec = {"greenring.timeout", sizeof(TimeoutObject), 0, Py_TPFLAGS_DEFAULT, kSlots};

}  // namespace

bool AddTimeout(PyObject* module) {
  const PyRef type(PyType_FromSpec(&kSpec));
  return type && PyModule_AddObjectRef(module, "timeout", type.get()) == 0;
}

}  // namespace greenring::pyhost
