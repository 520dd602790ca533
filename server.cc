// The server's entry point: which of its processes this one is.
//
//   server [flags]                the master, which has workers
//   server --master=off [flags]   one process that serves by itself
//   server --worker               a worker: what its master starts
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/version.h"
#include "control/config/flags.h"
#include "control/main/master.h"
#include "greenring/control/v1/config.pb.h"
#include "worker/worker_main.h"

int main(int argc, char** argv) {
  namespace control = greenring::control;
  using control::CommandLine;
  // Nothing else is on the command line of a worker: its master tells it the rest.
  if (argc == 2 && std::string_view(argv[1]) == "--worker") return greenring::worker::RunUnderMaster();
  // Under `bazel run` the user's own directory is this one.
  if (const char* directory = std::getenv("BUILD_WORKING_DIRECTORY")) {
    if (chdir(directory) != 0) std::perror("greenring: cannot change to the directory bazel was run in");
  }
  absl::StatusOr<CommandLine> line = control::ParseCommandLine(argc, argv);
  if (!line.ok()) {
    std::fprintf(stderr, "greenring: %s\n", std::string(line.status().message()).c_str());
    return control::kMasterExitConfiguration;
  }
  switch (line->mode) {
    case CommandLine::Mode::kHelp:
      std::fputs(control::HelpText().c_str(), stdout);
      return 0;
    case CommandLine::Mode::kVersion:
      std::printf("greenring %s\n", greenring::kVersion);
      return 0;
    case CommandLine::Mode::kValidate:
      std::puts("greenring: nothing is wrong with the configuration");
      return 0;
    case CommandLine::Mode::kAlone:
      return greenring::worker::RunAlone(line->configuration.pools(0));
    case CommandLine::Mode::kServe:
      break;
  }
  const auto reread = [argc, argv]() -> absl::StatusOr<control::v1::Configuration> {
    absl::StatusOr<CommandLine> again = control::ParseCommandLine(argc, argv);
    if (!again.ok()) return again.status();
    return again->configuration;
  };
  return control::RunMaster({.configuration = line->configuration, .reread = reread});
}
