#include <sys/eventfd.h>

#include <utility>

#include "base/check.h"
#include "base/unique_fd.h"
#include "pyhost/hub.h"
#include "pyhost/python.h"
#include "pyhost/python_error.h"

namespace greenring::pyhost {
namespace {

// The loop that gevent calls the default one watches child processes (gevent.subprocess). There is one in a process: if
// the application's import has made a hub, that one has it.
constexpr char kSource[] = R"(
import gc

import gevent
from gevent.event import Event
from gevent.hub import Hub, get_hub, set_hub
from greenlet import GreenletExit, getcurrent, greenlet, settrace

if not any(isinstance(one, Hub) for one in gc.get_objects()):
    set_hub(Hub(default=True))
hub = get_hub()
hub.name = "greenring"
stopped = Event()

class RequestGreenlet(gevent.Greenlet):
    """What a request runs in. Its parent is the hub."""

def new(run, name):
    made = RequestGreenlet(run)
    made.name = name
    return made

def begin(made, ended):
    made.rawlink(ended)
    made.start()

def serve(wake_fd, on_wake):
    wake = hub.loop.io(wake_fd, 1)
    wake.start(on_wake)
    stopped.wait()
    wake.ref = False
    hub.join()
    wake.stop()
    wake.close()
    hub.destroy()

def stop():
    stopped.set()

def throw_exits():
    for one in gc.get_objects():
        if isinstance(one, greenlet) and one and one is not hub and one.parent is hub:
            hub.loop.run_callback(one.throw, GreenletExit)
)";

class GeventHub final : public Hub {
 public:
  GeventHub(green::Scheduler* scheduler, size_t stack_size_bytes, ErrorLog* error_log)
      : Hub(scheduler, "gevent hub", stack_size_bytes, error_log), event_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    GREENRING_CHECK(event_fd_.valid());
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
    hub_ = function("hub");
    on_dead_.reset(NewMethod(&on_dead));
    return static_cast<bool>(on_dead_);
  }

  void Serve() override {
    static PyMethodDef on_wake = {"on_wake", &GeventHub::OnWake, METH_NOARGS, nullptr};
    const PyRef callback(NewMethod(&on_wake));
    const PyRef served(callback ? PyObject_CallFunction(function("serve"), "iO", event_fd_.get(), callback.get())
                                : nullptr);
    if (!served) LogError("the hub has ended");
    on_dead_.reset();
  }

  // Others write to the descriptor, which its loop waits for. (The C library's own calls: these never wait.)
  void Wake() override {
    if (std::exchange(is_woken_, true)) return;
    eventfd_write(event_fd_.get(), 1);
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

}  // namespace

absl::Status CheckGeventHub() {
  if (const PyRef module(PyImport_ImportModule("gevent.hub")); module) return absl::OkStatus();
  return absl::FailedPreconditionError("engine gevent needs the Python package gevent (Debian: python3-gevent): " +
                                       DescribeException(TakeException().get()));
}

absl::Status PatchForGevent() {
  const absl::Status available = CheckGeventHub();
  if (!available.ok()) return available;
  const PyRef monkey(PyImport_ImportModule("gevent.monkey"));
  const PyRef patched(monkey ? PyObject_CallMethod(monkey.get(), "patch_all", nullptr) : nullptr);
  if (patched) return absl::OkStatus();
  return absl::FailedPreconditionError("gevent.monkey.patch_all() has failed: " +
                                       DescribeException(TakeException().get()));
}

std::unique_ptr<Hub> NewGeventHub(green::Scheduler* scheduler, size_t stack_size_bytes, ErrorLog* error_log) {
  return std::make_unique<GeventHub>(scheduler, stack_size_bytes, error_log);
}

}  // namespace greenring::pyhost
