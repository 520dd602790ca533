// Which engines this version has: all that the API has names for (pool.proto).
//
// Thread-safe; never blocks.
#pragma once

#include <vector>

#include "greenring/control/v1/pool.pb.h"

namespace greenring::control {

// In the order of their numbers; without ENGINE_UNSPECIFIED, which stands for the default.
std::vector<v1::Engine> AvailableEngines();

}  // namespace greenring::control
