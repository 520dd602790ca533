// The server's entry point: flags in, exit code out (0 after a drain, 1 when it could not serve, 2 for wrong flags, 3
// after a drain that it began by itself).
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "worker/flags.h"
#include "worker/worker.h"

int main(int argc, char** argv) {
  using namespace greenring::worker;
  absl::StatusOr<ParsedFlags> flags = ParseFlags(argc, argv);
  if (!flags.ok()) {
    std::fprintf(stderr, "greenring: %s\n", std::string(flags.status().message()).c_str());
    return 2;
  }
  if (flags->help) {
    std::fputs(FlagsHelp().c_str(), stdout);
    return 0;
  }
  // Under `bazel run` the user's own directory is this one.
  if (const char* directory = std::getenv("BUILD_WORKING_DIRECTORY")) {
    if (chdir(directory) != 0) std::perror("greenring: cannot change to the directory bazel was run in");
  }
  const absl::StatusOr<int> exit_code = RunWorker(flags->options);
  if (!exit_code.ok()) {
    std::fprintf(stderr, "greenring: %s\n", std::string(exit_code.status().message()).c_str());
    return absl::IsInvalidArgument(exit_code.status()) ? 2 : 1;
  }
  return *exit_code;
}
