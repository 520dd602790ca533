// What happens between looks at counters. Not thread-safe; never blocks.
//
//   Meter meter;
//   meter.Look(statistics);            // of one pool, again and again
//   Show(meter.pool().requests_per_s);
#pragma once

#include <map>
#include <string>

#include "absl/time/time.h"
#include "greenring/control/v1/statistics.pb.h"

namespace greenring::greenctl {

namespace v1 = ::greenring::control::v1;

struct Rates {
  double requests_per_s = 0;
  double errors_per_s = 0;  // responses of 500 and above
  double cpu_percent = 0;   // of one processor
  // Of the requests that ended meanwhile: from the head until a core took it, and from there to the end. Zero without.
  absl::Duration queue_wait_p99;
  absl::Duration run_time_p50;
  absl::Duration run_time_p99;
};

// Rates of a pool and its workers. Workers tell of themselves once a second, each at its own time; looks come as often
// as the user likes. So a worker's rates are between the last two looks at which it had told something new, and stay
// until it does again; after three seconds without news they are zero. Those of the pool are its workers' together, its
// quantiles of the requests of all.
class Meter {
 public:
  void Look(const v1::PoolStatistics& now);

  // Whether there was time to measure: a first look alone says nothing, and neither do two without news between them.
  bool measured() const;
  Rates pool() const;
  Rates worker(const std::string& name) const;  // zero for one that is not there

 private:
  struct Source {
    v1::Statistics statistics;  // as they were at `changed`
    absl::Time changed;
    bool measured = false;
    // Between the last two that differed.
    double requests_per_s = 0;
    double errors_per_s = 0;
    double cpu_percent = 0;
    v1::Histogram queue_wait;
    v1::Histogram run_time;
  };

  static void Measure(const v1::Statistics& now, absl::Time time, Source* source);
  static void Add(const Source& source, Source* sum);
  static Rates RatesOf(const Source& source);

  std::map<std::string, Source> workers_;
  absl::Time begun_ = absl::InfiniteFuture();
  absl::Time last_ = absl::InfinitePast();
};

}  // namespace greenring::greenctl
