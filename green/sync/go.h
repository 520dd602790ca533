// Go(function): runs it on a green thread of its own.
//
//   Go([&] {
//     Result result = Compute();
//     results.Send(std::move(result));
//   });
//
// The new green thread starts when the current one parks, yields or ends. It belongs to the scheduler; wait for its end
// with a WaitGroup or a Channel. Scheduler's thread only.
#pragma once

#include <utility>

#include "base/check.h"
#include "green/scheduler.h"

namespace greenring::green {

// On the scheduler that runs here; there must be one (checked). For `function` see Scheduler::Spawn. Never parks.
template <typename F>
GreenThread* Go(F&& function, const SpawnOptions& options = {}) {
  Scheduler* scheduler = Scheduler::Current();
  GREENRING_CHECK(scheduler != nullptr && "Go needs a running scheduler on this OS thread, or one as an argument");
  return scheduler->Spawn(std::forward<F>(function), options);
}

// On `scheduler`, also before its Run. Never parks.
template <typename F>
GreenThread* Go(Scheduler* scheduler, F&& function, const SpawnOptions& options = {}) {
  return scheduler->Spawn(std::forward<F>(function), options);
}

}  // namespace greenring::green
