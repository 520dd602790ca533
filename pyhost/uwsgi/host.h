// What the Python module `uwsgi` asks of the process that it runs in, and of that one's master.
//
//   class Host final : public UwsgiHost { ... };            // worker/ has it
//   RegisterUwsgiModule(&host, options);                    // before the application is imported
//
// GIL held in every call, on the thread of the application: a green thread, or an OS thread of engine `thread`. What
// says that it parks may be called on the loop's OS thread by a green thread, and on any other OS thread, which blocks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace greenring::pyhost {

// One worker of the pool, as uwsgi.workers() tells of it.
struct UwsgiWorker {
  int id = 0;  // its slot, from 1
  int pid = 0;
  int64_t requests = 0;
  int64_t exceptions = 0;
  int64_t signals = 0;
  bool busy = false;
  int64_t rss_bytes = 0;
  int64_t vsz_bytes = 0;
  int64_t running_time_us = 0;  // of all requests, added up
  int64_t last_spawn_s = 0;     // since 1970
  int64_t respawn_count = 0;
  int64_t tx_bytes = 0;
  int64_t avg_rt_us = 0;
};

// When a signal comes by itself.
struct UwsgiTimer {
  int64_t period_ns = 0;
  int64_t iterations = 0;  // 0: for ever
  bool from_last = false;  // add_rb_timer: the next period begins when the signal before was sent
};

// As crontab(5); -1: each; below -1: every so many. Weekdays: 0 and 7 are Sunday.
struct UwsgiCron {
  int minute = -1;
  int hour = -1;
  int day = -1;
  int month = -1;
  int weekday = -1;
};

class UwsgiHost {
 public:
  // ---- this process; none of these parks ----

  virtual int worker_id() const = 0;   // from 1
  virtual int master_pid() const = 0;  // 0: there is no master
  virtual int worker_count() const = 0;
  virtual int core_count() const = 0;
  virtual int64_t request_count() const = 0;  // of this worker
  virtual void Log(const std::string& line) = 0;

  // ---- the master; UNAVAILABLE: there is none, or it has gone; each parks until it has answered ----

  virtual absl::StatusOr<std::vector<UwsgiWorker>> Workers() = 0;
  virtual absl::Status Reload() = 0;
  virtual absl::Status Stop() = 0;

  // What the signal framework of all workers is told. `target` as uWSGI names it: "", "worker", "workers", "worker2",
  // "active-workers"; INVALID_ARGUMENT names the target that there is not. The same registration by each worker of a
  // pool, each having imported the application for itself, is one: the last one holds.
  virtual absl::Status RegisterSignal(int signal, const std::string& target) = 0;
  // NOT_FOUND: nobody has registered it.
  virtual absl::Status SendSignal(int signal) = 0;
  virtual absl::StatusOr<bool> IsRegistered(int signal) = 0;
  // A signal that nobody else has: the same one for the same `name` in each worker of the pool.
  virtual absl::StatusOr<int> SignalFor(const std::string& name) = 0;
  virtual absl::Status AddTimer(int signal, const UwsgiTimer& timer) = 0;
  virtual absl::Status AddCron(int signal, const UwsgiCron& cron) = 0;
  virtual absl::Status AddFileMonitor(int signal, const std::string& path) = 0;

  // ---- locks of the pool, across its workers; without a master of this process ----

  // Waits in line. What a worker holds is given up when that one ends. A lock belongs to the worker, not to a thread:
  // as in uWSGI whoever likes may unlock it. Parks.
  virtual absl::Status Lock(int lock) = 0;
  // FAILED_PRECONDITION: this worker does not hold it.
  virtual absl::Status Unlock(int lock) = 0;
  virtual absl::StatusOr<bool> IsLocked(int lock) = 0;

 protected:
  ~UwsgiHost() = default;
};

// Who gets the signals that come for this worker: the module. On a green thread of the loop's that has no Python state.
// It waits for the GIL, but for no handler.
class UwsgiSignalSink {
 public:
  virtual void OnSignal(int signal) = 0;

 protected:
  ~UwsgiSignalSink() = default;
};

inline constexpr int kUwsgiSignals = 256;

}  // namespace greenring::pyhost
