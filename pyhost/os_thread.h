// Python on OS threads of the server's own: cores of engine `thread`.
//
//   void Main() {                             // of such an OS thread
//     const ScopedOsThreadState python;       // a PyThreadState of its own, GIL held
//     for (;;) {
//       { const ScopedGilPause pause; AwaitWork(); }
//       ... Python calls ...
//     }
//   }
//
//   GilErrands errands;
//   errands.Post([] { ... with the GIL ... });   // from the loop, which must not wait for the GIL
//
// These threads take the GIL as any thread of Python's does. Not for green threads (gil.h).
#pragma once

#include <signal.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <thread>

#include "pyhost/python_os_thread.h"

namespace greenring::pyhost {

// Which thread runs Python here: unlike that of every other one that is alive, green or not. Never parks.
const void* CurrentThreadToken();

// Makes the current OS thread one that runs Python, for the object's life: takes the GIL, and gives it up at the end.
// Such a thread is a PythonOsThread: what it runs can be interrupted.
class ScopedOsThreadState {
 public:
  ScopedOsThreadState();
  ~ScopedOsThreadState();
  ScopedOsThreadState(const ScopedOsThreadState&) = delete;
  ScopedOsThreadState& operator=(const ScopedOsThreadState&) = delete;

 private:
  const int gil_state_;  // PyGILState_STATE
  std::optional<PythonOsThread> python_;
};

// The GIL is not held for the object's life. On such an OS thread, GIL held.
class ScopedGilPause {
 public:
  ScopedGilPause();
  ~ScopedGilPause();
  ScopedGilPause(const ScopedGilPause&) = delete;
  ScopedGilPause& operator=(const ScopedGilPause&) = delete;

 private:
  PyThreadState* const state_;
};

// OS threads that are started while the object lives get no signals, which are the main thread's, but those of their
// own faults, whose handlers say what has happened.
class ScopedThreadSignals {
 public:
  ScopedThreadSignals();
  ~ScopedThreadSignals();
  ScopedThreadSignals(const ScopedThreadSignals&) = delete;
  ScopedThreadSignals& operator=(const ScopedThreadSignals&) = delete;

 private:
  sigset_t before_;
};

// The GIL is held by nobody who would need the current OS thread's stack: gives it up, if that has it. For an OS thread
// whose stack is lost; nothing of CPython's may be called there any more.
void AbandonGil();

// An OS thread that does with the GIL what others want done. It begins with the first errand.
class GilErrands {
 public:
  GilErrands() = default;
  // The errands that are left are dropped. Blocks until the one that is under way is done: not with the GIL.
  ~GilErrands();
  GilErrands(const GilErrands&) = delete;
  GilErrands& operator=(const GilErrands&) = delete;

  // Errands are done in their order. They may not block. From one OS thread. Never parks.
  void Post(std::function<void()> errand);

 private:
  struct Errand {
    std::function<void()> what;
    Errand* next;
  };

  void Run();
  Errand* TakeAll();  // the oldest first

  // By futex: the C library's waits are green threads' (base/futex.h).
  std::atomic<Errand*> posted_{nullptr};  // the newest first
  std::atomic<uint32_t> news_count_{0};   // changes with each of them, and at the end
  std::atomic<bool> stopping_{false};
  std::thread thread_;  // of the one OS thread that posts
};

}  // namespace greenring::pyhost
