// greenctl: shows and changes what a Greenring server does. See docs/GREENCTL.md.
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <clocale>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "tools/greenctl/environment.h"
#include "tools/greenctl/run_command.h"

namespace greenring::greenctl {
namespace {

// Signals that end the program come to one thread, which tells whatever waits; where nothing does, or on the second
// one, the process ends. Blocked in every thread from here on.
void HandleSignals(Interrupt* interrupt) {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::thread([signals, interrupt] {
    int signal;
    while (sigwait(&signals, &signal) == 0) {
      if (!interrupt->Trigger()) std::quick_exit(128 + signal);  // with the terminal put right (top/terminal.h)
    }
  }).detach();
}

int TerminalColumns(int fd) {
  winsize size{};
  return ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

int Main(int argc, char** argv) {
  std::setlocale(LC_ALL, "");
  // `bazel run` starts its programs elsewhere; the paths of -f are relative to where the user is.
  if (const char* directory = getenv("BUILD_WORKING_DIRECTORY"); directory != nullptr && chdir(directory) != 0) {
    std::cerr << "greenctl: " << directory << ": " << strerror(errno) << std::endl;
  }
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);  // errors are greenctl's to tell
  // How soon a lost connection is looked after while no call waits for it: in gRPC every 5 s.
  setenv("GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS", "200", /*overwrite=*/0);
  static Interrupt interrupt;  // outlives the thread that uses it
  HandleSignals(&interrupt);
  Environment environment{
      .in = &std::cin,
      .out = &std::cout,
      .err = &std::cerr,
      .out_is_terminal = isatty(STDOUT_FILENO) != 0,
      .err_is_terminal = isatty(STDERR_FILENO) != 0,
      .variable =
          [](const std::string& name) {
            const char* value = getenv(name.c_str());
            return std::string(value != nullptr ? value : "");
          },
      .interrupt = &interrupt,
  };
  environment.columns = TerminalColumns(environment.out_is_terminal ? STDOUT_FILENO : STDERR_FILENO);
  return RunCommand({argv + 1, argv + argc}, &environment);
}

}  // namespace
}  // namespace greenring::greenctl

int main(int argc, char** argv) { return greenring::greenctl::Main(argc, argv); }
