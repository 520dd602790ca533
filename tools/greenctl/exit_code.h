// What greenctl's exit code says, for scripts, and how it travels in a status. docs/GREENCTL.md lists the codes.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"

namespace greenring::greenctl {

enum ExitCode {
  kExitOk = 0,
  kExitFailed = 1,       // the operation failed, or was not possible
  kExitUsage = 2,        // the command line is wrong; nothing was asked
  kExitNotFound = 3,     // what was named is not there
  kExitUnreachable = 4,  // the server does not answer
  kExitRefused = 5,      // the server does not let this user do it
  kExitInvalid = 6,      // the server, or the check of a file, finds a value wrong
  kExitTimedOut = 7,     // --timeout passed; what was begun goes on
  kExitInterrupted = 130,
};

// `status` with an exit code that its own code does not tell, and with a hint: what to do next.
absl::Status WithExitCode(absl::Status status, ExitCode code);
absl::Status WithHint(absl::Status status, absl::string_view hint);

// That of WithExitCode, or what the status' code means for an answer of the server.
ExitCode ExitCodeOf(const absl::Status& status);
std::string HintOf(const absl::Status& status);

absl::Status UsageError(absl::string_view message);

}  // namespace greenring::greenctl
