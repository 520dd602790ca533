// What this process uses of the machine.
//
//   ProcessUsage usage;
//   usage.RssBytes();          // what of it is in memory now
//   ProcessUsage::CpuNs();     // user and system time of all its threads, since its start
//
// A system call each. Thread-safe. Never parks.
#pragma once

#include <cstdint>

#include "base/unique_fd.h"

namespace greenring::worker {

class ProcessUsage {
 public:
  // Opens /proc/self/statm, and keeps it open.
  ProcessUsage();

  // 0 where there is no /proc.
  int64_t RssBytes() const;

  static int64_t CpuNs();

 private:
  const UniqueFd statm_;
};

}  // namespace greenring::worker
