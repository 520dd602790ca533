// The command line of the server.
//
//   absl::StatusOr<ParsedFlags> flags = ParseFlags(argc, argv);
//   if (!flags.ok()) { print its message; return 2; }
//   if (flags->help) std::cout << FlagsHelp();
//
// getopt_long(3) does the parsing; a table in flags.cc says what each flag means, and makes the help text. Dashes and
// underscores in names are the same. Never parks.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "worker/options.h"

namespace greenring::worker {

struct ParsedFlags {
  WorkerOptions options;
  bool help = false;
};

// INVALID_ARGUMENT names the flag and what is wrong with its value. Reorders nothing; not thread-safe (getopt is not).
absl::StatusOr<ParsedFlags> ParseFlags(int argc, char** argv);

// The text for --help: every flag with its meaning and default.
std::string FlagsHelp();

}  // namespace greenring::worker
