// Ends the process when nothing else does: after a stack was abandoned, whoever drains the worker may meet a lock that
// is never released, in the C library's allocator for one.
//
//   LastResort last_resort(exit_code);
//   last_resort.SetPatience(drain_timeout_ns + ...);
//   LastResort::Arm();                        // in a signal handler, too: from now on the time runs
//
// A POSIX timer and its signal (base/reserved_signals.h): needs no thread, no lock and no memory when the time comes.
// One in the process, on its main thread.
#pragma once

#include <cstdint>

namespace greenring::worker {

class LastResort {
 public:
  // `exit_code` is what the process ends with when the time is over.
  explicit LastResort(int exit_code);
  ~LastResort();
  LastResort(const LastResort&) = delete;
  LastResort& operator=(const LastResort&) = delete;

  // For how long the process has to end by itself once armed. Before Arm.
  static void SetPatience(int64_t duration_ns);

  // The first call counts. Async-signal-safe. Never parks.
  static void Arm();
};

}  // namespace greenring::worker
