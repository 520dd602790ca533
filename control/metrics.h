// What the server counts, in Prometheus' text format.
//
//   greenring_requests_total{pool="web",code="200"} 1302
//
// By pool, over all of its workers and those that have ended; per worker only gauges (greenring_worker_*), whose series
// end with it. docs/API.md lists the names. Thread-safe; never blocks.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "greenring/control/v1/pool.pb.h"
#include "greenring/control/v1/server_service.pb.h"
#include "greenring/control/v1/statistics.pb.h"

namespace greenring::control {

struct MetricsInput {
  v1::Server server;
  std::vector<v1::Pool> pools;
  std::vector<v1::PoolStatistics> statistics;
  // Events since the server's start, by kind and severity.
  std::map<std::pair<v1::Event::Kind, v1::Event::Severity>, int64_t> events;
};

std::string ToPrometheusText(const MetricsInput& input);

}  // namespace greenring::control
