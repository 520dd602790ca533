// Python code that runs for long gives way to other green threads, as it does to other threads: nobody who computes
// keeps the rest of a worker waiting.
//
//   PythonSwitchHook hook;
//   posix::LeaveAlone({..., &Preemption::BeforeLock, &Preemption::AfterUnlock});     // the GIL's mutexes, GilMemory()
//   Preemption preemption(&hook, 10 * kNanosecondsPerMillisecond);
//   ... scheduler.Run(&poller) ...
//
// CPython's evaluation loop gives the GIL up between two instructions when another OS thread has asked for it, which
// that does after sys.getswitchinterval() (5 ms). So an OS thread watches: where one green thread has run for the slice
// less that interval, it takes the GIL and gives it back. When the green thread gives the GIL up for that, it yields
// (Scheduler::YieldToLoop).
//
// The watcher looks every slice less the interval, so a green thread runs for one slice at least and, with the 10 ms of
// --time_slice, for 15 ms at most: later by what the system lets the watcher wait, and by C code, which is not
// interrupted. A slice below the interval is as long as the interval, which is the application's to set.
//
// While the loop has nothing to do the watcher sleeps; while it is busy, the watcher wakes and does nothing if green
// threads have been switched meanwhile.
#pragma once

#include <cstdint>

#include "pyhost/gil.h"
#include "pyhost/watcher_thread.h"

namespace greenring::pyhost {

class Preemption {
 public:
  // Starts the OS thread. `hook`, which outlives this, is that of the scheduler in question. One at a time (checked).
  // Scheduler's thread only, as all of this.
  Preemption(PythonSwitchHook* hook, int64_t slice_ns);

  // Before the interpreter's end; gives the GIL up meanwhile if the caller holds it. Blocks the OS thread until the
  // watcher has had the GIL if it is asking for it, and does not park.
  ~Preemption();

  Preemption(const Preemption&) = delete;
  Preemption& operator=(const Preemption&) = delete;

  // A green thread is about to lock, or has unlocked, one of the GIL's mutexes. The second one parks where the GIL was
  // given up because the watcher asks.
  static void BeforeLock(const void* mutex);
  static void AfterUnlock(const void* mutex);

  // How often a green thread had to yield so, since the process's start. Scheduler's thread only.
  static uint64_t count() { return count_; }

  // To be called by the watcher whenever it has the GIL: for other watchers, before whom it may get it. nullptr:
  // nothing. GIL held, on any OS thread.
  using OnGil = void (*)();
  static void SetOnGil(OnGil function) { on_gil_ = function; }

 private:
  void Watch();

  static inline constinit uint64_t count_ = 0;
  static inline constinit OnGil on_gil_ = nullptr;  // guarded by the GIL

  PythonSwitchHook* const hook_;
  const int64_t slice_ns_;
  WatcherThread watcher_;
};

// sys.getswitchinterval(). GIL held. Never parks.
int64_t SwitchIntervalNs();

}  // namespace greenring::pyhost
