// greenctl without its process: what main calls, and tests.
#pragma once

#include <string>
#include <vector>

#include "tools/greenctl/environment.h"

namespace greenring::greenctl {

// Runs the command line (without the program's name), and returns the exit code. Errors are said on environment.err,
// with what to do next. Blocks until it is done.
int RunCommand(const std::vector<std::string>& arguments, Environment* environment);

}  // namespace greenring::greenctl
