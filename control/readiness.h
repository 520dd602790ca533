// Whether requests are served: the same for grpc.health.v1 and for /readyz. Thread-safe; never blocks.
#pragma once

#include <string>

#include "greenring/control/v1/pool.pb.h"

namespace greenring::control {

// It is READY, or on its way there with workers that are.
bool IsServing(const v1::Pool& pool);

// "pools/web: START_FAILED: ModuleNotFoundError: ...", on one line.
std::string DescribeState(const v1::Pool& pool);

}  // namespace greenring::control
