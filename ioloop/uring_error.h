// Why the kernel refused an io_uring, in words that say what to change.
//
//   return ExplainSetupError(EPERM, ReadSetupFacts());
//   // "io_uring_setup: Operation not permitted: a seccomp filter forbids io_uring (containers have one). Run the ..."
//
// Thread-safe. Never parks.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace greenring::ioloop {

// What the system says about itself; -1: unknown.
struct SetupFacts {
  std::string kernel_release;  // as `uname -r`
  int io_uring_disabled = -1;  // sysctl kernel.io_uring_disabled: 1 needs a privilege, 2 for everyone (Linux 6.6)
  int seccomp_mode = -1;       // of this process; 2: a filter
};

SetupFacts ReadSetupFacts();

// `error_number` of io_uring_setup, positive. FAILED_PRECONDITION when the system has to be changed,
// RESOURCE_EXHAUSTED when a limit has to be raised.
absl::Status ExplainSetupError(int error_number, const SetupFacts& facts);

// For a ring that works but lacks what we cannot do without.
absl::Status KernelTooOld(const SetupFacts& facts);

}  // namespace greenring::ioloop
