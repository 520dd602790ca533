// uWSGI's signals in one worker: its handlers, what it asks of the master (host.h), and the signals that come. Each
// runs its handler in a green thread of its own, or where the engine runs what is no request.
#include <poll.h>
#include <sys/eventfd.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/intrusive_list.h"
#include "base/unique_fd.h"
#include "pyhost/current_core.h"
#include "pyhost/gil.h"
#include "pyhost/py_ref.h"
#include "pyhost/python_error.h"
#include "pyhost/thread_current_core.h"
#include "pyhost/uwsgi/handler_job.h"
#include "pyhost/uwsgi/parts.h"
#include "pyhost/uwsgi/request_state.h"

namespace greenring::pyhost {
namespace {

// Handlers of one signal that run at the same time; more are dropped: whatever they wait for does not come.
constexpr int kRunningMax = 64;

struct Registered {
  bool registered = false;      // by this process
  PyObject* handler = nullptr;  // may be null: signal_wait only
  int running = 0;
  bool told_of_drops = false;
};

// One that waits in signal_wait.
struct Waiter : ListLink {
  int wanted = -1;  // -1: any
  int received = -1;
  UniqueFd event;
};

// The GIL guards all of it.
std::array<Registered, kUwsgiSignals> registered;
constinit int received_last = -1;  // outside of requests

UwsgiModule::Spawner& Spawner() {
  static auto* const spawner = new UwsgiModule::Spawner(&StartInGreenThread);
  return *spawner;
}

IntrusiveList<Waiter>& Waiters() {
  static auto* const waiters = new IntrusiveList<Waiter>();
  return *waiters;
}

// ---- signals that come ---------------------------------------------------------------------------------------------

// Called by whatever the engine runs it in; the object that it is bound to is (handler, signal). Never raises.
PyObject* RunHandler(PyObject* self, PyObject*) {
  PyObject* const number = PyTuple_GET_ITEM(self, 1);
  Registered& one = registered[static_cast<size_t>(PyLong_AsLong(number))];
  const PyRef result(PyObject_CallOneArg(PyTuple_GET_ITEM(self, 0), number));
  if (--one.running == 0) one.told_of_drops = false;
  if (!result) {
    const PyRef exception = TakeException();
    Host()->Log(
        absl::StrCat("the handler of signal ", PyLong_AsLong(number), " failed\n", FormatException(exception.get())));
  }
  Py_RETURN_NONE;
}

PyMethodDef kRunHandler = {"run_signal_handler", RunHandler, METH_NOARGS, nullptr};

void StartHandler(int signal) {
  Registered& one = registered[static_cast<size_t>(signal)];
  if (one.running >= kRunningMax) {
    if (std::exchange(one.told_of_drops, true)) return;
    return Host()->Log(
        absl::StrCat("signal ", signal, " is dropped, until its ", kRunningMax, " handlers that run now have ended"));
  }
  const PyRef bound(Py_BuildValue("(Oi)", one.handler, signal));
  const PyRef function(bound ? PyCFunction_New(&kRunHandler, bound.get()) : nullptr);
  ++one.running;
  if (function && Spawner()(function.get())) return;
  --one.running;
  const PyRef exception = TakeException();
  Host()->Log(
      absl::StrCat("the handler of signal ", signal, " could not be started\n", FormatException(exception.get())));
}

class Sink final : public UwsgiSignalSink {
 public:
  void OnSignal(int signal) override {
    if (signal < 0 || signal >= kUwsgiSignals) return;
    const ScopedPythonThread python;
    bool taken = false;
    for (Waiter* waiter = Waiters().front(); waiter != nullptr; waiter = Waiters().Next(waiter)) {
      if (waiter->received != -1 || (waiter->wanted != -1 && waiter->wanted != signal)) continue;
      waiter->received = signal;
      eventfd_write(waiter->event.get(), 1);
      taken = true;
    }
    if (registered[static_cast<size_t>(signal)].handler != nullptr) {
      StartHandler(signal);
    } else if (!taken) {
      Host()->Log(absl::StrCat("signal ", signal, " has come, and this worker has no handler for it"));
    }
  }
};

// ---- the module's functions ----------------------------------------------------------------------------------------

PyObject* Fail(const char* function, const absl::Status& status) {
  if (PyErr_Occurred() == nullptr) {
    PyErr_Format(PyExc_ValueError, "%s(): %s", function, std::string(status.message()).c_str());
  }
  return nullptr;
}

PyObject* NoneOr(const char* function, const absl::Status& status) {
  if (!status.ok()) return Fail(function, status);
  Py_RETURN_NONE;
}

// From seconds or milliseconds, with fractions. False with a ValueError.
bool ParsePeriod(const char* function, double value, int64_t unit_ns, int64_t* period_ns) {
  const double value_ns = std::ceil(value * static_cast<double>(unit_ns));
  if (value > 0) {  // not for nan; what is too long the master refuses
    *period_ns = value_ns < static_cast<double>(kNeverNs) ? static_cast<int64_t>(value_ns) : kNeverNs;
    return true;
  }
  PyErr_Format(PyExc_ValueError, "%s(): the time between two signals must be positive", function);
  return false;
}

// For PyArg_ParseTuple. 0 with a Python error.
int ParseSignal(PyObject* object, void* signal) {
  const long number = PyLong_AsLong(object);
  if (number == -1 && PyErr_Occurred() != nullptr) return 0;
  if (number < 0 || number >= kUwsgiSignals) {
    PyErr_Format(PyExc_ValueError, "a signal is a number from 0 to %d, not %ld", kUwsgiSignals - 1, number);
    return 0;
  }
  *static_cast<int*>(signal) = static_cast<int>(number);
  return 1;
}

PyObject* RegisterSignal(PyObject*, PyObject* arguments) {
  int signal = 0;
  const char* target = nullptr;
  PyObject* handler = nullptr;
  if (PyArg_ParseTuple(arguments, "O&sO:register_signal", &ParseSignal, &signal, &target, &handler) == 0) {
    return nullptr;
  }
  if (PyCallable_Check(handler) == 0) {
    return PyErr_Format(PyExc_TypeError, "register_signal(): %R cannot be called", handler);
  }
  Registered& one = registered[static_cast<size_t>(signal)];
  const PyRef before(std::exchange(one.handler, Py_NewRef(handler)));  // it may come before the master has answered
  if (const absl::Status status = Host()->RegisterSignal(signal, target); !status.ok()) {
    const PyRef refused(std::exchange(one.handler, before ? Py_NewRef(before.get()) : nullptr));
    return Fail("register_signal", status);
  }
  one.registered = true;
  Py_RETURN_NONE;
}

PyObject* Signal(PyObject*, PyObject* arguments) {
  int signal = 0;
  const char* remote = nullptr;
  if (PyArg_ParseTuple(arguments, "O&|s:signal", &ParseSignal, &signal, &remote) == 0) return nullptr;
  if (remote != nullptr) {
    return PyErr_Format(PyExc_NotImplementedError,
                        "uwsgi.signal() does not send signals to other servers (%s); use HTTP, or a message broker",
                        remote);
  }
  const absl::Status status = Host()->SendSignal(signal);
  if (status.ok()) Py_RETURN_NONE;
  if (!absl::IsNotFound(status) && (PyErr_Occurred() != nullptr || Host()->master_pid() == 0)) {
    return Fail("signal", status);
  }
  Host()->Log(absl::StrCat("uwsgi.signal(", signal, ") has no effect: ", status.message()));
  Py_RETURN_NONE;
}

// True: one has come, which is `waiter`'s. False with a Python error.
bool Await(Waiter* waiter) {
  waiter->event = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!waiter->event.valid()) {
    PyErr_SetFromErrno(PyExc_OSError);
    return false;
  }
  Waiters().PushBack(waiter);
  const WaitFd fds[] = {{.fd = waiter->event.get(), .events = POLLIN}};
  CurrentCore* const core = CurrentCore::Get();
  const int ready = core != nullptr ? core->Wait(fds, kNeverNs) : WaitOnThread(fds, kNeverNs);
  waiter->Unlink();
  return ready != CurrentCore::kFailed;
}

PyObject* SignalWait(PyObject*, PyObject* arguments) {
  int wanted = -1;
  if (PyArg_ParseTuple(arguments, "|O&:signal_wait", &ParseSignal, &wanted) == 0) return nullptr;
  if (Host()->master_pid() == 0) return PyErr_Format(PyExc_ValueError, "signal_wait(): there is no master");
  // The master sends it to workers that have registered it.
  if (wanted >= 0 && !registered[static_cast<size_t>(wanted)].registered) {
    if (const absl::Status status = Host()->RegisterSignal(wanted, ""); !status.ok()) {
      return Fail("signal_wait", status);
    }
    registered[static_cast<size_t>(wanted)].registered = true;
  }
  Waiter waiter;
  waiter.wanted = wanted;
  if (!Await(&waiter)) return nullptr;
  CurrentCore* const core = CurrentCore::Get();
  (core != nullptr ? UwsgiRequest::OfOrNew(core)->signal_received : received_last) = waiter.received;
  return PyBytes_FromStringAndSize(nullptr, 0);
}

PyObject* SignalReceived(PyObject*, PyObject*) {
  CurrentCore* const core = CurrentCore::Get();
  return PyLong_FromLong(core != nullptr ? UwsgiRequest::OfOrNew(core)->signal_received : received_last);
}

// While the application is imported what other workers have registered does not count: each of them registers the same
// for itself, and whoever looks for a free number is to find the same one.
PyObject* SignalRegistered(PyObject*, PyObject* arguments) {
  int signal = 0;
  if (PyArg_ParseTuple(arguments, "O&:signal_registered", &ParseSignal, &signal) == 0) return nullptr;
  if (registered[static_cast<size_t>(signal)].registered) Py_RETURN_TRUE;
  if (!IsReady()) Py_RETURN_NONE;
  const absl::StatusOr<bool> known = Host()->IsRegistered(signal);
  if (!known.ok() && PyErr_Occurred() != nullptr) return nullptr;
  if (known.ok() && *known) Py_RETURN_TRUE;
  Py_RETURN_NONE;
}

PyObject* SignalFor(PyObject*, PyObject* name) {
  const char* const text = PyUnicode_AsUTF8(name);
  if (text == nullptr) return nullptr;
  const absl::StatusOr<int> signal = Host()->SignalFor(text);
  return signal.ok() ? PyLong_FromLong(*signal) : Fail("get_free_signal", signal.status());
}

PyObject* AddTimer(PyObject*, PyObject* arguments) {
  int signal = 0;
  double seconds = 0;
  UwsgiTimer timer;
  if (PyArg_ParseTuple(arguments, "O&d:add_timer", &ParseSignal, &signal, &seconds) == 0) return nullptr;
  if (!ParsePeriod("add_timer", seconds, kNanosecondsPerSecond, &timer.period_ns)) return nullptr;
  return NoneOr("add_timer", Host()->AddTimer(signal, timer));
}

PyObject* AddMsTimer(PyObject*, PyObject* arguments) {
  int signal = 0;
  double milliseconds = 0;
  UwsgiTimer timer;
  if (PyArg_ParseTuple(arguments, "O&d:add_ms_timer", &ParseSignal, &signal, &milliseconds) == 0) return nullptr;
  if (!ParsePeriod("add_ms_timer", milliseconds, kNanosecondsPerMillisecond, &timer.period_ns)) return nullptr;
  return NoneOr("add_ms_timer", Host()->AddTimer(signal, timer));
}

PyObject* AddRbTimer(PyObject*, PyObject* arguments) {
  int signal = 0;
  double seconds = 0;
  int iterations = 0;
  UwsgiTimer timer = {.from_last = true};
  if (PyArg_ParseTuple(arguments, "O&d|i:add_rb_timer", &ParseSignal, &signal, &seconds, &iterations) == 0) {
    return nullptr;
  }
  if (!ParsePeriod("add_rb_timer", seconds, kNanosecondsPerSecond, &timer.period_ns)) return nullptr;
  timer.iterations = iterations;
  return NoneOr("add_rb_timer", Host()->AddTimer(signal, timer));
}

PyObject* AddCron(PyObject*, PyObject* arguments) {
  int signal = 0;
  UwsgiCron cron;
  if (PyArg_ParseTuple(arguments, "O&iiiii:add_cron", &ParseSignal, &signal, &cron.minute, &cron.hour, &cron.day,
                       &cron.month, &cron.weekday) == 0) {
    return nullptr;
  }
  if (const absl::Status status = Host()->AddCron(signal, cron); !status.ok()) return Fail("add_cron", status);
  Py_RETURN_TRUE;  // as in uWSGI; the others return None
}

PyObject* AddFileMonitor(PyObject*, PyObject* arguments) {
  int signal = 0;
  const char* path = nullptr;
  if (PyArg_ParseTuple(arguments, "O&s:add_file_monitor", &ParseSignal, &signal, &path) == 0) return nullptr;
  return NoneOr("add_file_monitor", Host()->AddFileMonitor(signal, path));
}

PyMethodDef kFunctions[] = {
    {"register_signal", RegisterSignal, METH_VARARGS,
     "register_signal(number, target, handler)\n\n"
     "handler(number) is called for each signal of that number, 0 to 255, in a green thread of its own. target: "
     "'worker' (or '') for any one worker, 'workers' for all, 'worker2' for the second."},
    {"signal", Signal, METH_VARARGS, "signal(number)\n\nSends a signal to the workers that it was registered for."},
    {"signal_wait", SignalWait, METH_VARARGS,
     "signal_wait([number])\n\nWaits until a signal, or that one, comes for this worker."},
    {"signal_received", SignalReceived, METH_NOARGS,
     "signal_received()\n\nThe signal that ended the request's last signal_wait(); -1: none did."},
    {"signal_registered", SignalRegistered, METH_VARARGS, "signal_registered(number)\n\nTrue or None."},
    {"_signal_for", SignalFor, METH_O, "The signal that stands for a name, the same in each worker of the pool."},
    {"add_timer", AddTimer, METH_VARARGS, "add_timer(number, seconds)\n\nSends the signal every so many seconds."},
    {"add_ms_timer", AddMsTimer, METH_VARARGS,
     "add_ms_timer(number, milliseconds)\n\nSends the signal every so many milliseconds."},
    {"add_rb_timer", AddRbTimer, METH_VARARGS,
     "add_rb_timer(number, seconds[, iterations])\n\n"
     "Sends the signal so many seconds after the one before, and so many times; 0: for ever."},
    {"add_cron", AddCron, METH_VARARGS,
     "add_cron(number, minute, hour, day, month, weekday)\n\n"
     "Sends the signal as a line of crontab says; -1: each, -5: every fifth."},
    {"add_file_monitor", AddFileMonitor, METH_VARARGS,
     "add_file_monitor(number, path)\n\nSends the signal when a file or an entry of a directory changes."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

UwsgiSignalSink* SignalSink() {
  static constinit Sink sink;
  return &sink;
}

void SetHandlerSpawner(UwsgiModule::Spawner function) {
  Spawner() = function != nullptr ? std::move(function) : &StartInGreenThread;
}

bool AddSignals(PyObject* module) { return PyModule_AddFunctions(module, kFunctions) == 0; }

}  // namespace greenring::pyhost
