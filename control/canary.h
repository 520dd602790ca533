// Whether the cores of a canary do worse than the others.
//
//   CanaryTrial trial(canary, generation);
//   trial.Baseline("pools/web/workers/1", report);     // what was before does not count
//   trial.Observe("pools/web/workers/1", report);      // the latest of each worker; also of those that end meanwhile
//   CanaryTrial::Verdict verdict = trial.Judge(/*at_end=*/true);
//
// Pure: no clock, no workers.
#pragma once

#include <map>
#include <string>

#include "greenring/control/v1/pool_service.pb.h"
#include "greenring/control/v1/statistics.pb.h"
#include "greenring/worker/v1/link.pb.h"

namespace greenring::control {

// With the defaults that pool_service.proto names where nothing is set.
v1::Canary WithDefaults(v1::Canary canary);

class CanaryTrial {
 public:
  // `generation`: the canary's.
  CanaryTrial(const v1::Canary& canary, int64_t generation) : canary_(WithDefaults(canary)), generation_(generation) {}

  void Baseline(const std::string& worker, const worker::v1::FromWorker::Report& report);
  void Observe(const std::string& worker, const worker::v1::FromWorker::Report& report);

  struct Verdict {
    bool worse = false;
    std::string numbers;  // what it was judged by, in words
  };
  // Before the end it must be clearly worse: by twice what is allowed.
  Verdict Judge(bool at_end) const;

  const v1::Canary& canary() const { return canary_; }

 private:
  struct Side {
    int64_t requests = 0;
    int64_t errors = 0;
    v1::Histogram run_time;

    double error_percent() const { return requests == 0 ? 0 : 100.0 * errors / requests; }
  };
  using Generations = std::map<int64_t, v1::GenerationStatistics>;

  const v1::Canary canary_;
  const int64_t generation_;
  std::map<std::string, Generations> baseline_;
  std::map<std::string, Generations> latest_;
};

}  // namespace greenring::control
