// CPython's thread state and GIL, carried along by green threads: to CPython each green thread is a thread.
//
//   PythonSwitchHook hook;
//   scheduler.SetSwitchHook(&hook);
//   scheduler.Spawn([] {
//     ScopedPythonThread python;        // a PyThreadState of its own, attached, GIL held
//     ...                               // Python calls; parking is allowed with and without the GIL
//   });
//   { ScopedGilRelease release; scheduler.Run(&poller); }
//
// How the GIL moves. While a green thread runs, the GIL is its own business (Py_BEGIN_ALLOW_THREADS works). At its
// switch-out the hook notes whether it holds the GIL, which it does if its state is CPython's current one. If so the
// GIL stays with the OS thread: another green thread that was switched out holding it gets it by PyThreadState_Swap. It
// is given up before one runs that will take it by itself (it was parked inside Py_BEGIN_ALLOW_THREADS) or that has no
// Python state, and before the loop waits. Other Python threads ask for the GIL through CPython's eval breaker, which
// running bytecode honours, so they get their share of a loop that never waits.
//
// Needs green/thread_keys.h in the executable: CPython 3.11 keeps the state that PyGILState_Ensure finds in a pthread
// key. Scheduler's thread only.
#pragma once

#include <cstddef>

#include "green/scheduler.h"

extern "C" {
typedef struct _ts PyThreadState;
}

namespace greenring::pyhost {

// One per scheduler, set before the first Spawn.
class PythonSwitchHook final : public green::SwitchHook {
 public:
  void OnSwitchIn(green::GreenThread* thread) override;
  void OnSwitchOut(green::GreenThread* thread) override;
  void OnIdle() override;

 private:
  void GiveUpGil();

  bool gil_held_ = false;  // by the green thread that was switched out last, whose state is still the current one
};

// Makes the current green thread one that runs Python, for the object's life. Uses the green thread's host_data.
class ScopedPythonThread {
 public:
  // Creates the PyThreadState and takes the GIL. The green thread has none yet; the interpreter runs.
  ScopedPythonThread();

  // Destroys the state, which runs destructors of the thread's locals, and gives the GIL up. GIL held.
  ~ScopedPythonThread();

  ScopedPythonThread(const ScopedPythonThread&) = delete;
  ScopedPythonThread& operator=(const ScopedPythonThread&) = delete;

  // How many there are in the process.
  static size_t live_count();

 private:
  friend class PythonSwitchHook;

  PyThreadState* const state_;
  bool had_gil_ = false;  // when it was switched out
};

// Gives the GIL up, and takes it back: around waits of the interpreter's main thread, such as Scheduler::Run.
class ScopedGilRelease {
 public:
  ScopedGilRelease();
  ~ScopedGilRelease();

  ScopedGilRelease(const ScopedGilRelease&) = delete;
  ScopedGilRelease& operator=(const ScopedGilRelease&) = delete;

 private:
  PyThreadState* const state_;
};

}  // namespace greenring::pyhost
