// Python code that runs for long gives way to other green threads, as it does to other threads: nobody who computes
// keeps the rest of a worker waiting.
//
//   PythonSwitchHook hook;
//   posix::LeaveAlone({..., &Preemption::BeforeLock, &Preemption::AfterUnlock});     // the GIL's mutexes, GilMemory()
//   Preemption preemption(&hook);
//   ... scheduler.Run(&poller) ...
//
// CPython's evaluation loop gives the GIL up between two instructions when another OS thread has asked for it, which
// that does after sys.getswitchinterval() (5 ms). So an OS thread watches: where one green thread has run for 5 ms, it
// takes the GIL and gives it back. When the evaluation loop has given the GIL up for that, the green thread yields
// (Scheduler::YieldToLoop).
//
// C code is not interrupted. While the loop has nothing to do the watcher sleeps; while it is busy, the watcher wakes
// every 5 ms, and does nothing if green threads have been switched meanwhile.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <thread>

#include "pyhost/gil.h"

namespace greenring::pyhost {

class Preemption {
 public:
  // Starts the OS thread. `hook`, which outlives this, is that of the scheduler in question.
  explicit Preemption(PythonSwitchHook* hook);

  // Before the interpreter's end; gives the GIL up meanwhile if the caller holds it. Blocks the OS thread for up to
  // 5 ms, and does not park.
  ~Preemption();

  Preemption(const Preemption&) = delete;
  Preemption& operator=(const Preemption&) = delete;

  // A green thread is about to lock, or has unlocked, one of the GIL's mutexes. Scheduler's thread only. The second one
  // parks where the GIL was given up because the watcher asks.
  static void BeforeLock(const void* mutex);
  static void AfterUnlock(const void* mutex);

 private:
  void Watch();

  PythonSwitchHook* const hook_;
  const pid_t process_;
  std::atomic<bool> stop_{false};
  std::atomic<int> ended_{0};  // what futex(2) waits for
  std::thread watcher_;
};

}  // namespace greenring::pyhost
