// What a worker counts of its HTTP requests: plain counters, told to others by a StatisticsCollector.
//
//   HttpStatistics statistics;
//   statistics.OnTaken(queue_wait_ns);                          // a core has taken a request
//   statistics.OnEnded({.status = 200, .ran = true, .run_ns = run_ns, .generation = 3});
//
// docs/OBSERVABILITY.md defines each figure. Nothing is allocated for a request (but at the first one of a generation
// of cores). Loop's thread only. Never parks.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>

#include "base/histogram.h"
#include "pyhost/exchange.h"
#include "worker/access_log.h"

namespace greenring::worker {

class HttpStatistics {
 public:
  // How a request ended.
  struct End {
    int status = 0;    // 0: no response was begun; counted as kStatusClientGone
    bool ran = false;  // a core had taken it
    int64_t run_ns = 0;
    int64_t generation = 0;  // of that core
    pyhost::CutShort cut_short = pyhost::CutShort::kNo;
  };

  struct Generation {
    int64_t generation = 0;
    uint64_t requests = 0;
    uint64_t errors = 0;  // 500 and above
    Histogram run_time;
  };

  // Those of a worker that is reconfigured all day are forgotten, the oldest first.
  static constexpr size_t kGenerationsMax = 8;

  void OnAccepted() { ++accepted_; }
  void OnTaken(int64_t queue_wait_ns) { queue_wait_.Record(queue_wait_ns); }
  void OnEnded(const End& end);
  // A response that the server gave by itself: the request never ran.
  void OnRefused(int status) { CountResponse(status); }
  void OnQueueFull() { ++refused_; }
  // Beside OnRefused or OnEnded, for a request that has not been taken by a core.
  void OnTimedOutInQueue() { ++timed_out_; }
  void OnCancelledInQueue() { ++cancelled_; }
  void OnProbe() { ++probes_; }

  uint64_t requests() const { return requests_; }
  uint64_t accepted() const { return accepted_; }
  uint64_t refused() const { return refused_; }
  uint64_t timed_out() const { return timed_out_; }
  uint64_t cancelled() const { return cancelled_; }
  uint64_t probes() const { return probes_; }
  const Histogram& queue_wait() const { return queue_wait_; }
  const Histogram& run_time() const { return run_time_; }
  // The newest number first.
  const std::deque<Generation>& generations() const { return generations_; }

  // Calls `function(status, count)` for each status that there was.
  template <typename F>
  void ForEachStatus(F function) const {
    for (size_t status = 0; status < by_status_.size(); ++status) {
      if (by_status_[status] != 0) function(static_cast<int>(status), by_status_[status]);
    }
  }

 private:
  void CountResponse(int status);
  Generation* FindOrAdd(int64_t number);

  uint64_t requests_ = 0;
  uint64_t accepted_ = 0;
  uint64_t refused_ = 0;
  uint64_t timed_out_ = 0;
  uint64_t cancelled_ = 0;
  uint64_t probes_ = 0;
  Histogram queue_wait_;
  Histogram run_time_;
  std::array<uint64_t, 1000> by_status_{};
  std::deque<Generation> generations_;
};

}  // namespace greenring::worker
