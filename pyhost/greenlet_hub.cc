#include "green/scoped_wait.h"
#include "pyhost/hub.h"
#include "pyhost/hub_wait.h"
#include "pyhost/python.h"
#include "pyhost/python_error.h"

namespace greenring::pyhost {
namespace {

constexpr char kSource[] = R"(
from greenlet import GreenletExit, getcurrent, greenlet, settrace

hub = getcurrent()

class RequestGreenlet(greenlet):
    """What a request runs in. Its parent is the hub."""

def new(run, name):
    made = RequestGreenlet(run)
    made.name = name
    return made
)";

class GreenletHub final : public Hub {
 public:
  GreenletHub(green::Scheduler* scheduler, size_t stack_size_bytes, ErrorLog* error_log)
      : Hub(scheduler, "greenlet hub", stack_size_bytes, error_log) {}

  void Begin(PyObject* greenlet) override { SwitchTo(greenlet, nullptr); }

 private:
  const char* source() const override { return kSource; }

  bool SetUp() override {
    hub_ = function("hub");
    return true;
  }

  void Serve() override {
    while (!stopping() || has_due() || has_waits()) {
      ServeDue();
      if (has_due()) {
        scheduler()->Yield();
        continue;
      }
      if (stopping() && !has_waits()) break;
      const green::ScopedWait noted(thread(), {.call = "idle", .kind = green::WaitNote::Kind::kIdle});
      scheduler()->ParkUncancellable();
    }
  }

  // Until it waits for something else than the hub, or has ended.
  bool StartFunction(PyObject* function_to_start) override {
    const PyRef made(PyObject_CallOneArg(function("RequestGreenlet"), function_to_start));
    if (!made) return false;
    SwitchTo(made.get(), nullptr);
    return true;
  }

  void Wake() override { scheduler()->Unpark(thread()); }

  void WakeRemotely() override { scheduler()->UnparkRemote(thread()); }

  void ThrowExits() override {
    for (HubWait* wait = waits().front(); wait != nullptr; wait = waits().Next(wait)) {
      wait->Exit(function("GreenletExit"));
    }
  }

  PyObject* hub_greenlet() const override { return hub_; }

  PyObject* hub_ = nullptr;  // the source has it
};

}  // namespace

absl::Status CheckGreenletHub() {
  if (const PyRef module(PyImport_ImportModule("greenlet")); module) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "engine greenlet needs the Python package greenlet (Debian: python3-greenlet): " +
      DescribeException(TakeException().get()));
}

std::unique_ptr<Hub> NewGreenletHub(green::Scheduler* scheduler, size_t stack_size_bytes, ErrorLog* error_log) {
  return std::make_unique<GreenletHub>(scheduler, stack_size_bytes, error_log);
}

}  // namespace greenring::pyhost
