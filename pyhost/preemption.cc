#include "pyhost/preemption.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "green/scheduler.h"
#include "pyhost/py_ref.h"
#include "pyhost/python.h"

namespace greenring::pyhost {
namespace {

// The watcher looks no more often.
constexpr int64_t kPeriodNsMin = kNanosecondsPerMillisecond;

// CPython's own, for a sys.getswitchinterval that is not CPython's any more.
constexpr int64_t kDefaultSwitchIntervalNs = 5 * kNanosecondsPerMillisecond;

// Of the scheduler that is watched; nullptr: none is. The scheduler's thread's.
constinit const PythonSwitchHook* watched = nullptr;

// Who is to yield: the one who runs since so many switches; 0: nobody. Whoever runs after the next switch has not run
// for long, and neither yields for what was asked of another nor is asked in vain: the watcher looks again.
constinit std::atomic<uint64_t> asked{0};

// The GIL has two mutexes: its own, and one for handing it over. Whoever takes the GIL locks the second while holding
// the first; whoever gives it up locks the first alone. That is how the two are told apart.
constinit size_t held = 0;
constinit bool both_held = false;

PythonSwitchHook* StartWatching(PythonSwitchHook* hook) {
  GREENRING_CHECK(watched == nullptr);
  watched = hook;
  hook->StartWatch();
  return hook;
}

}  // namespace

Preemption::Preemption(PythonSwitchHook* hook, int64_t slice_ns)
    : hook_(StartWatching(hook)), slice_ns_(slice_ns), watcher_("greenring-slice", [this] { Watch(); }) {}

Preemption::~Preemption() {
  watched = nullptr;
  asked.store(0, std::memory_order_relaxed);
  watcher_.Stop();
  hook_->EndWatch();
  watcher_.Join();
}

void Preemption::BeforeLock(const void*) {
  if (++held > 1) both_held = true;
}

void Preemption::AfterUnlock(const void*) {
  GREENRING_CHECK(held > 0);
  if (--held > 0 || std::exchange(both_held, false)) return;
  // Here CPython has given up the GIL, and does not know yet whether the one who asked has taken it.
  const uint64_t whom = asked.load(std::memory_order_relaxed);
  if (whom == 0 || watched == nullptr || whom != watched->switch_count() || PythonSwitchHook::switching()) return;
  ++count_;
  green::Scheduler::Current()->YieldToLoop();
}

void Preemption::Watch() {
  int64_t interval_ns = kDefaultSwitchIntervalNs;
  while (!watcher_.stopping()) {
    hook_->AwaitBusy();
    const uint64_t switches = hook_->switch_count();
    watcher_.SleepFor(std::max(slice_ns_ - interval_ns, kPeriodNsMin));
    if (watcher_.stopping() || hook_->idle() || hook_->switch_count() != switches) continue;
    asked.store(switches, std::memory_order_relaxed);
    const PyGILState_STATE state = PyGILState_Ensure();
    interval_ns = SwitchIntervalNs();
    if (on_gil_ != nullptr) on_gil_();
    PyGILState_Release(state);
  }
}

int64_t SwitchIntervalNs() {
  PyObject* const function = PySys_GetObject("getswitchinterval");
  if (function == nullptr || !PyCFunction_Check(function)) return kDefaultSwitchIntervalNs;
  const PyRef seconds(PyObject_CallNoArgs(function));
  GREENRING_CHECK(seconds && PyFloat_Check(seconds.get()));
  return static_cast<int64_t>(PyFloat_AS_DOUBLE(seconds.get()) * static_cast<double>(kNanosecondsPerSecond));
}

}  // namespace greenring::pyhost
