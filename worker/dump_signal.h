// SIGUSR1: a dump of all green threads to the error log, also when the loop thread hangs.
//
//   DumpSignal dump_signal(&error_file);            // before the application is imported, whose handler would win
//   dump_signal.Watch(&dumper, &scheduler);         // GIL held
//   ... scheduler.Run(&loop) ...
//
// A handler that the application installs replaces ours, and is left alone. The child of a fork has the handler too,
// and there the signal does what it does to any program.
//
// An OS thread watches: where a dump is not written within kPatienceNs, the loop thread is in C code or in a call that
// nobody intercepts. Then it writes what can be had from outside: where the loop thread is, in C and (by StackSignal())
// in Python, and every green thread without its Python stack.
//
// One per process. Main thread only.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <thread>

#include "base/clock.h"
#include "green/scheduler.h"
#include "worker/log.h"
#include "worker/thread_dumper.h"

namespace greenring::worker {

class DumpSignal {
 public:
  // Installs the handler.
  explicit DumpSignal(LogFile* error_file);
  ~DumpSignal();
  DumpSignal(const DumpSignal&) = delete;
  DumpSignal& operator=(const DumpSignal&) = delete;

  // From here on the signal asks `dumper`, which outlives this or the Unwatch. GIL held.
  void Watch(ThreadDumper* dumper, const green::Scheduler* scheduler);

  // Blocks the OS thread for an instant; for 1 s while a dump is due.
  void Unwatch();

  static constexpr int64_t kPatienceNs = kNanosecondsPerSecond;

 private:
  void WatchDumps();
  void WriteFromOutside();
  void WriteNativeStack();
  void WritePythonStack();

  LogFile* const error_file_;
  ErrorLog error_log_;
  ThreadDumper* dumper_ = nullptr;
  const green::Scheduler* scheduler_ = nullptr;
  const pid_t process_;
  std::atomic<bool> stop_{false};
  std::thread watcher_;
};

}  // namespace greenring::worker
