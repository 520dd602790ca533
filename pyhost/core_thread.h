// The OS thread that works in a green thread's place (a core of engine `thread`), for those who look at the green
// thread from outside: dumps, lists of requests.
//
//   CoreThread thread(scheduler.current());          // of the core's green thread
//   ... on the OS thread: thread.Begin(&python) ... thread.End() ...
//   if (const CoreThread* thread = CoreThread::Of(&green_thread)) Print(thread->os_thread().CpuNs());
//
// Scheduler's thread only, but for what a function says. Never parks.
#pragma once

#include <string>

#include "base/os_thread.h"
#include "green/scheduler.h"

namespace greenring::pyhost {

class PythonOsThread;

class CoreThread {
 public:
  explicit CoreThread(const green::GreenThread* green_thread);
  // The OS thread has ended.
  ~CoreThread();
  CoreThread(const CoreThread&) = delete;
  CoreThread& operator=(const CoreThread&) = delete;

  // That of `green_thread`; nullptr: it works itself.
  static const CoreThread* Of(const green::GreenThread* green_thread);

  // On the OS thread, GIL held: from now on it is known, and runs Python code; it does not any more.
  void Begin(PythonOsThread* python);
  void End() { python_ = nullptr; }

  // On the OS thread: the next request's accounts begin. With or without the GIL.
  void BeginAccounts() { os_thread_.BeginAccounts(); }

  const OsThread& os_thread() const { return os_thread_; }

  // GIL held. Nullptr: it has not begun, or has ended.
  const PythonOsThread* python() const { return python_; }

 private:
  const green::GreenThread* const green_thread_;
  OsThread os_thread_;
  PythonOsThread* python_ = nullptr;
};

// "computes", "waits in recv, fd 12 (tcp ...)", "waits in GIL".
std::string DescribeLook(const OsThread::Look& look);

}  // namespace greenring::pyhost
