// What happened between two looks at the counters. Plain functions; never block.
#pragma once

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

// Zero all over when no time has passed. Counters that have fallen (a server that was restarted) count from zero.
Rates RatesBetween(const v1::Statistics& older, const v1::Statistics& newer, absl::Duration elapsed);

}  // namespace greenring::greenctl
