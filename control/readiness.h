// Whether requests are served: the same for grpc.health.v1 and for /readyz. Thread-safe; never blocks.
#pragma once

#include <string>
#include <vector>

#include "greenring/control/v1/pool.pb.h"

namespace greenring::control {

// It is READY, or on its way there with workers that are.
bool IsServing(const v1::Pool& pool);

// Why not everything is served that should be: a line for each pool; empty: it is. A pool that was drained, or is being
// deleted, is as somebody wants it, and no reason, unless no pool is left that serves.
std::string WhyNotReady(const std::vector<v1::Pool>& pools);

// "pools/web: START_FAILED: ModuleNotFoundError: ...", on one line.
std::string DescribeState(const v1::Pool& pool);

}  // namespace greenring::control
