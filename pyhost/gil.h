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
// switch-out the hook notes whether it holds the GIL, which it does if the state that CPython keeps for this thread is
// the current one. If so the GIL stays with the OS thread: another green thread that was switched out holding it gets
// it by PyThreadState_Swap. It is given up before one runs that will take it by itself (it was parked inside
// Py_BEGIN_ALLOW_THREADS) or that has no Python state, and before the loop waits. Other Python threads ask for the GIL
// through CPython's eval breaker, which running bytecode honours, so they get their share of a loop that never waits.
//
// The hook asks CPython and keeps nothing but a pointer, so it serves any green thread that runs Python, however it
// came by its state: ScopedPythonThread, PyGILState_Ensure in a C library's callback, a thread that Python started.
//
// Needs green/thread_keys.h in the executable: CPython keeps the state of a thread in a pthread key. Scheduler's thread
// only.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "green/scheduler.h"
#include "pyhost/data_stack.h"
#include "pyhost/interrupt.h"

extern "C" {
typedef struct _ts PyThreadState;
}

namespace greenring::pyhost {

// One per scheduler, set before the first Spawn. Uses the green threads' host_data: the state of one that was switched
// out holding the GIL.
class PythonSwitchHook final : public green::SwitchHook {
 public:
  void OnSwitchIn(green::GreenThread* thread) override;
  void OnSwitchOut(green::GreenThread* thread) override;
  void OnIdle() override;

  // Stack overflows: Python code gets RecursionError (recursion.h). Of one that is abandoned the state and what its
  // frames refer to are lost on purpose: the interpreter has to be ended by Interpreter::EndWithThreads.
  bool OnReserveEntered(green::GreenThread* thread) override;
  void OnReserveLeft(green::GreenThread* thread) override;
  void OnAbandoned(green::GreenThread* thread) override;

  // For other OS threads that watch how long a green thread runs: as many as have started and not ended. Scheduler's
  // thread only.
  void StartWatch();
  void EndWatch();

  // How many switches there were. Thread-safe.
  uint64_t switch_count() const { return switch_count_.load(std::memory_order_relaxed); }

  // The handle() of the green thread that runs; 0: the loop does. Thread-safe.
  uintptr_t running_handle() const { return running_handle_.load(std::memory_order_relaxed); }

  // Whether the loop waits for something to do; blocks the OS thread while it does. Between StartWatch and EndWatch.
  // Thread-safe.
  bool idle() const { return loop_state_.load(std::memory_order_relaxed) == LoopState::kIdle; }
  void AwaitBusy();

  // Whether this OS thread is in one of the functions above.
  static bool switching() { return switching_; }

 private:
  enum class LoopState : int {  // int: what futex(2) can wait for
    kUnwatched,
    kBusy,
    kIdle,
  };

  void GiveUpGil();
  void SetLoopState(LoopState state);

  static inline constinit thread_local bool switching_ = false;

  std::atomic<uint64_t> switch_count_{0};
  std::atomic<uintptr_t> running_handle_{0};
  int watches_ = 0;
  std::atomic<LoopState> loop_state_{LoopState::kUnwatched};
  std::atomic<int> awaiting_busy_{0};  // 1: somebody sleeps until the loop is busy; reset by who wakes them
  bool gil_held_ = false;  // by the green thread that was switched out last, whose state is still the current one
};

// Makes the current green thread one that runs Python, and can be interrupted, for the object's life.
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
  DataStack data_stack_;
  PyThreadState* const state_;
  Interruptible interruptible_;
};

// Gives the GIL up, and takes it back: around waits of the interpreter's main thread, such as Scheduler::Run.
class ScopedGilRelease {
 public:
  ScopedGilRelease();
  ~ScopedGilRelease();

  ScopedGilRelease(const ScopedGilRelease&) = delete;
  ScopedGilRelease& operator=(const ScopedGilRelease&) = delete;

  // The main thread's state, detached: for the green thread that takes its place meanwhile (main_thread.h).
  PyThreadState* state() const { return state_; }

 private:
  PyThreadState* const state_;
};

// Where CPython's runtime keeps the GIL, its mutex and its condition variables: whoever answers pthread's calls for
// green threads must leave those to the C library. Nobody ever parks while holding that mutex; and to wait for the GIL
// is to wait for another OS thread.
struct MemoryRange {
  const void* begin;
  size_t size_bytes;
};
MemoryRange GilMemory();

}  // namespace greenring::pyhost
