#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "pyhost/hub.h"
#include "pyhost/python.h"
#include "pyhost/python_error.h"

namespace greenring::pyhost {
namespace {

// The hub that the application's import has made, detached from the main thread; nullptr: none.
PyObject* hub_of_import = nullptr;

// A greenlet's thread is its parent's until it begins. So a hub that has not begun, as after an import that only spawns
// or makes sockets, becomes this thread's with all that belongs to it. One that has begun stays behind, with the
// greenlets that have: their C stacks are the main thread's. Its event loop is taken all the same: timers, signals and
// child processes are watched by that one.
constexpr char kSource[] = R"(
import gc

import gevent
from gevent.event import Event
from gevent.hub import Hub, Waiter, set_hub
from gevent.monkey import get_original
from gevent.select import poll as Poll
from gevent.socket import socket
from greenlet import GreenletExit, getcurrent, greenlet, settrace

stopped = Event()
of_import = []

class RequestGreenlet(gevent.Greenlet):
    """What a request runs in. Its parent is the hub."""

def has_begun(one):
    return greenlet.__bool__(one)

def greenlets_of(parent):
    return [one for one in gc.get_objects()
            if isinstance(one, greenlet) and one.parent is parent and not one.dead]

def stop_waking(greenlets):
    """What their event loop would wake them for is waited for no more."""
    for one in gc.get_objects():
        if str(type(one).__module__).startswith("gevent."):
            waiter = getattr(getattr(one, "callback", None), "__self__", None)
            if isinstance(waiter, Waiter) and waiter.greenlet in greenlets:
                one.stop()

def begin_hub(before):
    """Returns the greenlets that cannot go on."""
    global hub
    hub = before
    if before is None:
        hub = Hub(default=True)
    elif has_begun(before):
        hub = Hub(loop=before.loop)
    else:
        hub.parent = getcurrent()
        hub.thread_ident = get_original("_thread", "get_ident")()
    hub.name = "greenring"
    set_hub(hub)
    if before is None:
        return []
    left_behind = []
    for one in greenlets_of(before):
        (left_behind if has_begun(one) else of_import).append(one)
    stop_waking(left_behind)
    if hub is not before:
        for one in of_import:
            one.parent = hub
        for one in gc.get_objects():
            if isinstance(one, socket) and one.hub is before:
                one.hub = hub
    return left_behind

def new(run, name):
    made = RequestGreenlet(run)
    made.name = name
    return made

def begin(made, ended):
    made.rawlink(ended)
    made.start()

def spawn(function):
    gevent.spawn(function)

def sleep():
    gevent.sleep(0)

def poll(polled, timeout_ms):
    one = Poll()
    for fd, events in polled:
        one.register(fd, events)
    return one.poll(timeout_ms)

def serve(wake_fd, on_wake, has_waits):
    wake = hub.loop.io(wake_fd, 1)
    wake.start(on_wake)
    stopped.wait()
    throw_exits(of_import)
    of_import.clear()
    while True:
        stopped.clear()
        wake.ref = False
        hub.join()  # does not know of those that wait for something of ours
        if not has_waits():
            break
        wake.ref = True
        stopped.wait()
    wake.stop()
    wake.close()
    hub.destroy()

def stop():
    stopped.set()

def throw_exits(greenlets=None):
    for one in greenlets_of(hub) if greenlets is None else greenlets:
        hub.loop.run_callback(one.throw, GreenletExit)
)";

class GeventHub final : public Hub {
 public:
  GeventHub(green::Scheduler* scheduler, size_t stack_size_bytes, ErrorLog* error_log)
      : Hub(scheduler, "gevent hub", stack_size_bytes, error_log), event_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    GREENRING_CHECK(event_fd_.valid());
  }

  bool schedules_greenlets() const override { return true; }

  bool Yield() override { return static_cast<bool>(PyRef(PyObject_CallNoArgs(function("sleep")))); }

  // libev ends the process for a descriptor that is not open: one look first.
  int Poll(std::span<pollfd> polled, int64_t deadline_ns) override {
    constexpr timespec kAtOnce = {};
    for (;;) {
      const int ready = ppoll(polled.data(), polled.size(), &kAtOnce, nullptr);
      if (ready > 0 || (ready == 0 && deadline_ns <= Clock::Monotonic()->NowNs())) return ready;
      if (ready < 0 && errno != EINTR) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
      }
      if (!AwaitOne(polled, deadline_ns)) return -1;
    }
  }

  void Begin(PyObject* greenlet) override {
    const PyRef begun(PyObject_CallFunction(function("begin"), "OO", greenlet, on_dead_.get()));
    if (begun) return;
    LogError("a request's greenlet cannot begin");
    NoteDead(greenlet);
  }

 private:
  const char* source() const override { return kSource; }

  bool SetUp() override {
    static PyMethodDef on_dead = {"on_dead", &GeventHub::OnDead, METH_O, nullptr};
    const PyRef before(std::exchange(hub_of_import, nullptr));
    const PyRef left_behind(
        PyObject_CallFunctionObjArgs(function("begin_hub"), before ? before.get() : Py_None, nullptr));
    if (!left_behind) return false;
    if (PyList_GET_SIZE(left_behind.get()) > 0) LogLeftBehind(left_behind.get());
    hub_ = function("hub");
    on_dead_.reset(NewMethod(&on_dead));
    return static_cast<bool>(on_dead_);
  }

  void LogLeftBehind(PyObject* greenlets) {
    const PyRef text(PyObject_Str(greenlets));
    const char* const names = text ? PyUnicode_AsUTF8(text.get()) : nullptr;
    if (names == nullptr) return LogError("greenlets of the import cannot go on");
    LogMessage(absl::StrCat(
        "greenlets that have begun while the application was imported cannot go on: nothing may wait through gevent "
        "before the import has ended (gevent.sleep, join, patched sockets), but spawning is fine. They are ",
        names));
  }

  void Serve() override {
    static PyMethodDef on_wake = {"on_wake", &GeventHub::OnWake, METH_NOARGS, nullptr};
    const PyRef callback(NewMethod(&on_wake));
    static PyMethodDef has_waits = {"has_waits", &GeventHub::HasWaits, METH_NOARGS, nullptr};
    const PyRef waits(callback ? NewMethod(&has_waits) : nullptr);
    const PyRef served(
        waits ? PyObject_CallFunction(function("serve"), "iOO", event_fd_.get(), callback.get(), waits.get())
              : nullptr);
    if (!served) LogError("the hub has ended");
    on_dead_.reset();
  }

  // Others write to the descriptor, which its loop waits for. (The C library's own calls: these never wait.)
  void Wake() override {
    if (std::exchange(is_woken_, true)) return;
    eventfd_write(event_fd_.get(), 1);
  }

  void WakeRemotely() override { eventfd_write(event_fd_.get(), 1); }

  static PyObject* HasWaits(PyObject* self, PyObject*) {
    return PyBool_FromLong(static_cast<GeventHub*>(Of(self))->has_waits());
  }

  bool StartFunction(PyObject* function_to_start) override {
    return static_cast<bool>(PyRef(PyObject_CallOneArg(function("spawn"), function_to_start)));
  }

  // Until one of them may be ready, or the deadline. False with a Python error.
  bool AwaitOne(std::span<const pollfd> polled, int64_t deadline_ns) {
    const PyRef list(PyList_New(0));
    for (const pollfd& one : polled) {
      const PyRef item(list ? Py_BuildValue("(ih)", one.fd, one.events) : nullptr);
      if (!item || PyList_Append(list.get(), item.get()) != 0) return false;
    }
    PyRef timeout_ms = PyRef::Share(Py_None);
    if (deadline_ns != kNeverNs) {
      const int64_t left_ns = std::max<int64_t>(deadline_ns - Clock::Monotonic()->NowNs(), 0);
      timeout_ms.reset(PyFloat_FromDouble(static_cast<double>(left_ns) / kNanosecondsPerMillisecond));
    }
    return timeout_ms && PyRef(PyObject_CallFunctionObjArgs(function("poll"), list.get(), timeout_ms.get(), nullptr));
  }

  static PyObject* OnWake(PyObject* self, PyObject*) {
    static_cast<GeventHub*>(Of(self))->OnWake();
    Py_RETURN_NONE;
  }

  void OnWake() {
    eventfd_t count;
    eventfd_read(event_fd_.get(), &count);
    is_woken_ = false;
    ServeDue();
    if (has_due()) scheduler()->Yield();  // its loop would come back at once, for ever
    if (stopping()) Call("stop");
  }

  static PyObject* OnDead(PyObject* self, PyObject* greenlet) {
    static_cast<GeventHub*>(Of(self))->NoteDead(greenlet);
    Py_RETURN_NONE;
  }

  void ThrowExits() override { Call("throw_exits"); }

  void OnLost() override { static_cast<void>(on_dead_.release()); }

  void Call(const char* name) {
    const PyRef result(PyObject_CallNoArgs(function(name)));
    if (!result) LogError(name);
  }

  PyObject* hub_greenlet() const override { return hub_; }

  const UniqueFd event_fd_;
  bool is_woken_ = false;
  PyObject* hub_ = nullptr;  // the source has it
  PyRef on_dead_;
};

absl::Status CheckGevent(const char* who) {
  if (const PyRef module(PyImport_ImportModule("gevent.hub")); module) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      who, " needs the Python package gevent (Debian: python3-gevent): ", DescribeException(TakeException().get())));
}

}  // namespace

absl::Status CheckGeventHub() { return CheckGevent("engine gevent"); }

absl::Status PatchForGevent() {
  const absl::Status available = CheckGevent("gevent.monkey_patch");
  if (!available.ok()) return available;
  const PyRef monkey(PyImport_ImportModule("gevent.monkey"));
  const PyRef patched(monkey ? PyObject_CallMethod(monkey.get(), "patch_all", nullptr) : nullptr);
  if (patched) return absl::OkStatus();
  return absl::FailedPreconditionError("gevent.monkey.patch_all() has failed: " +
                                       DescribeException(TakeException().get()));
}

void DetachGeventHub() {
  const PyRef name(PyUnicode_FromString("gevent._hub_local"));
  const PyRef local(name ? PyImport_GetModule(name.get()) : nullptr);
  PyRef hub(local ? PyObject_CallMethod(local.get(), "get_hub_if_exists", nullptr) : nullptr);
  const PyRef detached(hub && hub.get() != Py_None ? PyObject_CallMethod(local.get(), "set_hub", "O", Py_None)
                                                   : nullptr);
  if (detached) hub_of_import = hub.release();
  PyErr_Clear();
}

std::unique_ptr<Hub> NewGeventHub(green::Scheduler* scheduler, size_t stack_size_bytes, ErrorLog* error_log) {
  return std::make_unique<GeventHub>(scheduler, stack_size_bytes, error_log);
}

}  // namespace greenring::pyhost
