// Which processors a worker runs on.
#pragma once

#include <vector>

#include "greenring/control/v1/pool.pb.h"

namespace greenring::control {

// For the worker of `slot` (1, 2, ...); empty: wherever the server may run. `available`: the processors that the server
// may use. What of a list cannot be read is left out: it was checked with the pool.
std::vector<int> CpusOf(const v1::CpuAffinity& affinity, int slot, const std::vector<int>& available);

// Of this process: sched_getaffinity(2).
std::vector<int> AvailableCpus();

}  // namespace greenring::control
