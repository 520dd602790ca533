// How much the green threads of a worker use of their stacks, for the error log: after an overflow, and at the end. On
// demand: greenring.stack_report().
//
//   StackReports reports(&scheduler, &error_log);
//   reports.WriteIfOverflowed();              // on a core, after each request
//
// Scheduler's thread only. Never parks.
#pragma once

#include <cstdint>

#include "green/scheduler.h"
#include "pyhost/error_log.h"

namespace greenring::worker {

class StackReports {
 public:
  StackReports(green::Scheduler* scheduler, pyhost::ErrorLog* error_log)
      : scheduler_(scheduler), error_log_(error_log) {}
  StackReports(const StackReports&) = delete;
  StackReports& operator=(const StackReports&) = delete;

  void Write();

  // Since the last report, on any green thread; the current one has done what it did.
  void WriteIfOverflowed() {
    if (scheduler_->stats().overflows == overflows_reported_) [[likely]]
      return;
    scheduler_->LeaveReserve();  // now, so that the report has it
    Write();
  }

 private:
  green::Scheduler* const scheduler_;
  pyhost::ErrorLog* const error_log_;
  uint64_t overflows_reported_ = 0;
};

}  // namespace greenring::worker
