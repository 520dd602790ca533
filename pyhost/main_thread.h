// CPython's main thread while a scheduler runs: a green thread that passes for the OS thread and has the main thread's
// state. Signal handlers that Python code installed run on it, as CPython demands; at the end it waits for the threads
// that Python code started, as an interpreter that ends does. Both may block: they park.
//
//   ScopedGilRelease release;
//   MainThread main_thread(&scheduler, release.state());
//   main_thread.Start([&] { scheduler.Stop(); });
//   scheduler.Run(&poller);
//
// Whoever handles signals wakes it: scheduler.os_thread() is its green thread, UnparkRemote the call, from any thread
// or signal handler. Scheduler's thread only.
#pragma once

#include <functional>

#include "green/scheduler.h"
#include "pyhost/gil.h"

namespace greenring::pyhost {

class MainThread {
 public:
  // `state` is the main thread's, detached. Both outlive this.
  MainThread(green::Scheduler* scheduler, PyThreadState* state) : scheduler_(scheduler), state_(state) {}
  MainThread(const MainThread&) = delete;
  MainThread& operator=(const MainThread&) = delete;

  // Spawns the green thread. It calls `on_ended` after Stop, when the threads that Python code started (those that are
  // not daemons) have ended.
  void Start(std::function<void()> on_ended);

  // Nothing but the end is to come. Never parks.
  void Stop();

 private:
  void Serve();
  void AwaitSignal();
  void CallSignalHandlers();
  void JoinPythonThreads();

  green::Scheduler* const scheduler_;
  PyThreadState* const state_;
  std::function<void()> on_ended_;
  bool stopping_ = false;
};

// Has Python code start a thread (as threading.Thread does), and waits for it: whoever answers pthread_create for green
// threads learns from it what such threads begin with. GIL held.
void StartOneThread();

}  // namespace greenring::pyhost
