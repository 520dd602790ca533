#include "ioloop/uring_error.h"

#include <errno.h>
#include <sys/utsname.h>

#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace greenring::ioloop {
namespace {

constexpr char kTooOld[] = "Linux 5.13 or newer is needed, with CONFIG_IO_URING";

// "Seccomp:\t2" in /proc/self/status.
int ReadSeccompMode() {
  std::ifstream status("/proc/self/status");
  std::string key;
  while (status >> key) {
    int mode;
    if (key == "Seccomp:" && status >> mode) return mode;
    status.ignore(4096, '\n');
  }
  return -1;
}

std::string Reason(int error_number, const SetupFacts& facts) {
  const bool filtered = facts.seccomp_mode == 2;
  switch (error_number) {
    case EPERM:
    case EACCES:
      if (facts.io_uring_disabled > 0) {
        return absl::StrCat("the sysctl kernel.io_uring_disabled is ", facts.io_uring_disabled,
                            ". Allow io_uring with: sysctl -w kernel.io_uring_disabled=0",
                            facts.io_uring_disabled == 1 ? " (or run with CAP_SYS_ADMIN, or in the group "
                                                           "kernel.io_uring_group)"
                                                         : "");
      }
      [[fallthrough]];
    case ENOSYS:
      if (filtered) {
        return "a seccomp filter forbids io_uring, as the default profiles of container runtimes do. Allow the system "
               "calls io_uring_setup, io_uring_enter and io_uring_register in the profile: docker run --security-opt "
               "seccomp=PROFILE.json (or seccomp=unconfined); Kubernetes: securityContext.seccompProfile; systemd: "
               "SystemCallFilter=@io-event io_uring_setup io_uring_enter io_uring_register";
      }
      if (error_number == ENOSYS) {
        return absl::StrCat("this kernel (", facts.kernel_release, ") has no io_uring: ", kTooOld,
                            "; sandboxes that emulate a kernel, as gVisor, have none");
      }
      return "a security module (SELinux, AppArmor) forbids io_uring; its audit log names the rule";
    case ENOMEM:
      return "not enough memory: raise the memory limit of the container or cgroup, or the limit of locked memory "
             "(ulimit -l; systemd: LimitMEMLOCK=; docker run --ulimit memlock=-1)";
    case EMFILE:
      return "too many open files: raise the limit (ulimit -n; systemd: LimitNOFILE=)";
    case ENFILE:
      return "the system has too many open files: raise the sysctl fs.file-max";
    default:
      return absl::StrCat("unexpected on kernel ", facts.kernel_release, "; ", kTooOld);
  }
}

}  // namespace

SetupFacts ReadSetupFacts() {
  SetupFacts facts;
  utsname name;
  if (uname(&name) == 0) facts.kernel_release = name.release;
  std::ifstream disabled("/proc/sys/kernel/io_uring_disabled");
  if (!(disabled >> facts.io_uring_disabled)) facts.io_uring_disabled = -1;
  facts.seccomp_mode = ReadSeccompMode();
  return facts;
}

absl::Status ExplainSetupError(int error_number, const SetupFacts& facts) {
  const std::string text =
      absl::StrCat("io_uring_setup: ", std::strerror(error_number), ": ", Reason(error_number, facts));
  const bool resource = error_number == ENOMEM || error_number == EMFILE || error_number == ENFILE;
  return resource ? absl::ResourceExhaustedError(text) : absl::FailedPreconditionError(text);
}

absl::Status KernelTooOld(const SetupFacts& facts) {
  return absl::FailedPreconditionError(
      absl::StrCat("this kernel (", facts.kernel_release, ") has an io_uring that is too old: ", kTooOld));
}

}  // namespace greenring::ioloop
