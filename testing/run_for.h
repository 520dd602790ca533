// Runs a scheduler for some time of its clock.
//
//   testing::RunFor(&scheduler, &loop, 5 * kNanosecondsPerMillisecond);
//
// Ends before that where something calls Scheduler::Stop.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "green/scheduler.h"
#include "green/timer_queue.h"

namespace greenring::testing {

inline void RunFor(green::Scheduler* scheduler, green::Poller* poller, int64_t duration_ns) {
  struct End : green::Timer {
    explicit End(green::Scheduler* scheduler)
        : Timer([](Timer* timer) { static_cast<End*>(timer)->scheduler->Stop(); }), scheduler(scheduler) {}
    green::Scheduler* const scheduler;
  } end(scheduler);
  scheduler->AddTimer(&end, scheduler->clock()->NowNs() + duration_ns);
  scheduler->Run(poller);
  scheduler->RemoveTimer(&end);
}

}  // namespace greenring::testing
