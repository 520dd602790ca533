// The green thread that writes dumps of all the others, and deadlocks, to the error log.
//
//   ThreadDumper dumper(&scheduler, &error_log);
//   dumper.Start([&] { scheduler.Stop(); });
//   dumper.Ask();                             // any thread, any signal handler
//
// Its Python state is made for each dump, so that it stands in nobody's way between them. Scheduler's thread only, but
// for Ask and answered_count.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "green/lock_cycles.h"
#include "green/scheduler.h"
#include "pyhost/error_log.h"

namespace greenring::worker {

class ThreadDumper {
 public:
  ThreadDumper(green::Scheduler* scheduler, pyhost::ErrorLog* error_log);
  ThreadDumper(const ThreadDumper&) = delete;
  ThreadDumper& operator=(const ThreadDumper&) = delete;

  // Spawns the green thread, which calls `on_ended` after Stop. Never parks.
  void Start(std::function<void()> on_ended);

  // Never parks.
  void Stop();

  // A dump is wanted. Before Start it is written when that comes. Thread-safe and async-signal-safe. Never parks.
  void Ask();

  // How many times Ask was called, and how many of those are in the error log: what futex(2) waits for. Thread-safe.
  const std::atomic<uint32_t>& asked_count() const { return asked_count_; }
  const std::atomic<uint32_t>& answered_count() const { return answered_count_; }

 private:
  void Serve();
  void WriteDump();
  void WriteCycles();

  green::Scheduler* const scheduler_;
  pyhost::ErrorLog* const error_log_;
  green::LockWatch lock_watch_;
  std::function<void()> on_ended_;
  std::atomic<green::GreenThread*> thread_{nullptr};
  std::atomic<uint32_t> asked_count_{0};
  std::atomic<uint32_t> answered_count_{0};
  std::vector<std::vector<uint64_t>> cycles_;  // the ids of their members, to be told of
  bool stopping_ = false;
};

}  // namespace greenring::worker
