// Starts a worker's process: everything that the kernel has to be told, in one place.
//
//   absl::StatusOr<SpawnedWorker> spawned = SpawnWorker({.executable = "/proc/self/exe", ...}, stderr_write_end);
//
// posix_spawn(3): never fork, which a process with threads of gRPC in it must not do. Linux 5.3 (pidfd_open).
// Thread-safe; blocks for as long as the executable takes to be mapped.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace greenring::control {

struct WorkerCommand {
  std::string executable;                                        // a path
  std::vector<std::string> arguments;                            // with argv[0]: what ps(1) shows
  std::vector<std::pair<std::string, std::string>> environment;  // beside this process's own
  std::vector<int> cpus;                                         // empty: where this process may run
};

struct SpawnedWorker {
  pid_t pid;
  UniqueFd pidfd;
  UniqueFd link;  // this process's end of a SOCK_STREAM socketpair
};

// The process has the other end of the link as descriptor 3, /dev/null as stdin, this process's stdout, and `stderr_fd`
// as stderr; no other descriptor. All signals are at their defaults and none is blocked. It leads a process group of
// its own: what a terminal sends to the foreground (Ctrl-C) reaches the master alone, which then decides what becomes
// of its workers. The error says which step failed; then there is no process.
absl::StatusOr<SpawnedWorker> SpawnWorker(const WorkerCommand& command, int stderr_fd);

}  // namespace greenring::control
