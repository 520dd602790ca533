// Which calls really block the loop's thread, and with it every green thread: is the application green-safe?
//
//   Audit audit(&hook, 10 * kNanosecondsPerMillisecond);          // before the scheduler runs, on its thread
//   ...
//   log->Message(audit.Report());
//
// An OS thread looks at the loop's every fifth of the threshold. Where the same green thread has run for the threshold
// without a switch, and that thread was blocked for as long or has computed for as long, the watcher takes a sample of
// the native code (native_sample.h) and asks for the GIL:
//
//   it gets the GIL while the thread is still blocked, or computes      the GIL was released
//   else                                                                the thread had it, and came to its next
//   bytecode
//
// With the GIL it reads the Python stack, which still is that of the call in question. Python code that runs for long
// is not reported: it is preempted. So C code that has the GIL is reported only if it keeps that for kSlackNs longer
// than sys.getswitchinterval(), after which Python code would have given it up: with the usual 5 ms and a threshold of
// 10 ms, from about 20 ms on; which of two calls right after another was it may be told wrongly.
//
// Not seen: what blocks for less than the threshold, and the loop's own work. How long is right to a fifth of the
// threshold for what has the GIL; without it, the Python code that follows until the next switch counts too.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "pyhost/audit_table.h"
#include "pyhost/gil.h"
#include "pyhost/native_sample.h"
#include "pyhost/watcher_thread.h"

namespace greenring::pyhost {

class Audit {
 public:
  // Starts the OS thread. `hook`, which outlives this, is that of the scheduler in question. One at a time (checked).
  // On the scheduler's thread, with or without the GIL.
  Audit(PythonSwitchHook* hook, int64_t threshold_ns);

  // On the scheduler's thread, before the interpreter's end. Blocks the OS thread until the watcher has had the GIL if
  // it is asking for it, and does not park.
  ~Audit();

  Audit(const Audit&) = delete;
  Audit& operator=(const Audit&) = delete;

  // The one there is; nullptr: none. Scheduler's thread only.
  static Audit* Current() { return current_; }

  // Thread-safe. Never parks.
  const AuditTable& table() const { return table_; }
  std::string Report() const { return table_.Report(threshold_ns_); }

  static constexpr int64_t kSlackNs = 5'000'000;

 private:
  // One green thread's run between two switches, since it was first seen.
  struct Stretch {
    uint64_t switches = 0;
    uintptr_t handle = 0;
    int64_t began_ns = 0;
    int64_t cpu_began_ns = 0;
  };

  // What is to be found out by the first watcher that gets the GIL: only then is the green thread still where it was.
  struct Question {
    Audit* audit;
    const Stretch& stretch;
    const NativeSample& sample;
    int64_t answered_ns = 0;
    int64_t cpu_ns = 0;  // of the loop's thread until then
    bool gil_held = false;
    std::string python_stack{};
  };

  void Watch();
  int64_t Ask(Question* question);
  static void AnswerWithGil();
  Stretch Begin() const;
  bool GoesOn(const Stretch& stretch) const;
  bool IsBlocking(const Stretch& stretch, const NativeSample& sample) const;
  // True: there is an answer, found or not, and the stretch is done with.
  bool Examine(const Stretch& stretch);
  bool KeepsGil(const Stretch& stretch, const NativeSample& sample);
  void AwaitEnd(const Stretch& stretch, const NativeSample& sample);

  static inline constinit Audit* current_ = nullptr;
  static inline constinit std::atomic<Question*> question_{nullptr};

  PythonSwitchHook* const hook_;
  const int64_t threshold_ns_;
  NativeSampler sampler_;
  AuditTable table_;
  WatcherThread watcher_;
};

}  // namespace greenring::pyhost
