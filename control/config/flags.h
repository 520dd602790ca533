// The command line of the server: the one-pool case of a configuration.
//
//   absl::StatusOr<CommandLine> line = ParseCommandLine(argc, argv);
//
// --async_cores=4 and --async-cores 4 mean the same; the last one wins, but for flags that may be repeated.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "greenring/control/v1/config.pb.h"

namespace greenring::control {

struct CommandLine {
  enum class Mode {
    kServe,     // master and workers
    kAlone,     // --master=off: one process that serves by itself, without the API
    kValidate,  // --validate: say what is wrong with the configuration, and end
    kHelp,
    kVersion,
  };
  Mode mode = Mode::kServe;
  v1::Configuration configuration;  // checked, and every default filled in
};

// INVALID_ARGUMENT: in words, the flag and what is possible.
absl::StatusOr<CommandLine> ParseCommandLine(int argc, char** argv);

// What --help prints.
std::string HelpText();

}  // namespace greenring::control
