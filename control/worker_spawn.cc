#include "control/worker_spawn.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"

namespace greenring::control {
namespace {

constexpr int kLinkFd = 3;

// The two things that posix_spawn is told by, freed.
struct SpawnSettings {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;

  SpawnSettings() {
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
  }
  ~SpawnSettings() {
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
};

// The order matters: `stderr_fd` may be 3.
int SetFiles(SpawnSettings* settings, int link_fd, int stderr_fd) {
  posix_spawn_file_actions_t* const files = &settings->files;
  int error = posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", 0 /* O_RDONLY */, 0);
  if (error == 0) error = posix_spawn_file_actions_adddup2(files, stderr_fd, STDERR_FILENO);
  if (error == 0) error = posix_spawn_file_actions_adddup2(files, link_fd, kLinkFd);
  // Each of ours is close-on-exec; those of libraries may not be.
  if (error == 0) error = posix_spawn_file_actions_addclosefrom_np(files, kLinkFd + 1);
  return error;
}

int SetAttributes(SpawnSettings* settings) {
  posix_spawnattr_t* const attributes = &settings->attributes;
  sigset_t all, none;
  sigfillset(&all);
  sigemptyset(&none);
  int error = posix_spawnattr_setsigdefault(attributes, &all);
  if (error == 0) error = posix_spawnattr_setsigmask(attributes, &none);
  if (error == 0) error = posix_spawnattr_setpgroup(attributes, 0);
  if (error == 0) {
    error =
        posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  }
  return error;
}

// "NAME=value", this process's own first, but for those that `more` has.
std::vector<std::string> EnvironmentWith(const std::vector<std::pair<std::string, std::string>>& more) {
  std::vector<std::string> all;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('='));
    if (std::none_of(more.begin(), more.end(), [name](const auto& other) { return other.first == name; })) {
      all.emplace_back(text);
    }
  }
  for (const auto& [name, value] : more) all.push_back(absl::StrCat(name, "=", value));
  return all;
}

std::vector<char*> PointersTo(std::vector<std::string>* texts) {
  std::vector<char*> pointers;
  for (std::string& text : *texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

absl::Status Pin(pid_t pid, const std::vector<int>& cpus) {
  if (cpus.empty()) return absl::OkStatus();
  cpu_set_t set;
  CPU_ZERO(&set);
  std::string list;
  for (const int cpu : cpus) {
    if (cpu >= 0 && cpu < CPU_SETSIZE) CPU_SET(cpu, &set);
    absl::StrAppend(&list, list.empty() ? "" : ",", cpu);
  }
  if (sched_setaffinity(pid, sizeof(set), &set) == 0) return absl::OkStatus();
  return ErrnoToStatus(errno,
                       absl::StrCat("pin a worker to processor ", list, ", which must be one that the server may use"));
}

}  // namespace

absl::StatusOr<SpawnedWorker> SpawnWorker(const WorkerCommand& command, int stderr_fd) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoToStatus(errno, "make a socketpair for a worker");
  }
  SpawnedWorker worker = {.pid = 0, .pidfd = UniqueFd(), .link = UniqueFd(ends[0])};
  const UniqueFd their_end(ends[1]);

  SpawnSettings settings;
  int error = SetFiles(&settings, their_end.get(), stderr_fd);
  if (error == 0) error = SetAttributes(&settings);
  std::vector<std::string> arguments = command.arguments;
  std::vector<std::string> environment = EnvironmentWith(command.environment);
  if (error == 0) {
    error = posix_spawn(&worker.pid, command.executable.c_str(), &settings.files, &settings.attributes,
                        PointersTo(&arguments).data(), PointersTo(&environment).data());
  }
  if (error != 0) return ErrnoToStatus(error, absl::StrCat("start a worker (", command.executable, ")"));

  // It waits for its Start: nothing of it has run where it may not.
  absl::Status status = Pin(worker.pid, command.cpus);
  if (status.ok()) {
    worker.pidfd.Reset(static_cast<int>(syscall(SYS_pidfd_open, worker.pid, 0)));  // close-on-exec
    if (!worker.pidfd.valid()) status = ErrnoToStatus(errno, "watch a worker's process (pidfd_open, Linux 5.3)");
  }
  if (status.ok()) return worker;
  kill(worker.pid, SIGKILL);
  waitpid(worker.pid, nullptr, 0);
  return status;
}

}  // namespace greenring::control
