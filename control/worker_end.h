// How a process ended, in words.
//
//   DescribeEnd(wait_status, "") == "signal 9 (Killed)"
//   DescribeEnd(wait_status, "a request did not heed its timeout") == "exit status 3: a request did not heed its
//   timeout"
//
// Thread-safe. Never blocks.
#pragma once

#include <string>

namespace greenring::control {

// `wait_status` as of waitpid(2). `why` is what the process itself has said; empty: nothing.
std::string DescribeEnd(int wait_status, const std::string& why);

}  // namespace greenring::control
