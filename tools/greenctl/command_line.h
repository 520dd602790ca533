// greenctl's command line: what commands and flags there are, and what they mean. Thread-safe; never blocks.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/greenctl/environment.h"
#include "tools/greenctl/options.h"

namespace greenring::greenctl {

// `arguments` without the program's name. The defaults of the connection come from `environment`'s variables. --help
// becomes the command "help". A usage error (exit_code.h) says what is wrong, what was probably meant, and where help
// is.
absl::StatusOr<Options> ParseCommandLine(const std::vector<std::string>& arguments, const Environment& environment);

// Of the program, or of one command; a usage error when there is none of this name.
absl::StatusOr<std::string> HelpText(const std::string& command);

// For completion.
struct FlagDescription {
  std::vector<std::string> names;  // "--output", "-o"
  std::string help;
  bool takes_value = false;
};
struct CommandDescription {
  std::string name;
  std::string help;
  std::vector<FlagDescription> flags;  // its own, then those of every command
};
std::vector<CommandDescription> DescribeCommands();

}  // namespace greenring::greenctl
