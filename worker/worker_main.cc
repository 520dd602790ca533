#include "worker/worker_main.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"
#include "greenring/control/v1/pool.pb.h"
#include "pyhost/application.h"
#include "worker/credentials.h"
#include "worker/master_start.h"
#include "worker/options.h"
#include "worker/pool_options.h"
#include "worker/run_worker.h"

namespace greenring::worker {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitWrongFlags = 2;

void Complain(const absl::Status& status) {
  std::fprintf(stderr, "greenring: %s\n", std::string(status.message()).c_str());
}

absl::Status SetEnvironment(const control::v1::Pool& pool) {
  for (const auto& [name, value] : pool.application().environment()) {
    if (setenv(name.c_str(), value.c_str(), /*overwrite=*/1) != 0) {
      return absl::InvalidArgumentError(absl::StrCat("application.environment: \"", name, "\" is no name"));
    }
  }
  return absl::OkStatus();
}

// As the pool says: whose process it is, and its environment. Everything that is opened comes after it.
absl::Status BecomeThePoolsOwn(const MasterStart& begin) {
  const control::v1::Pool& pool = begin.start.pool();
  if (absl::Status status = BecomeUser(pool.user(), pool.group()); !status.ok()) return status;
  if (absl::Status status = DieWithMaster(begin.link.get()); !status.ok()) return status;
  return SetEnvironment(pool);
}

absl::StatusOr<int> Serve(MasterStart* begin) {
  if (absl::Status status = BecomeThePoolsOwn(*begin); !status.ok()) return status;
  const absl::StatusOr<WorkerOptions> options = OptionsFromPool(begin->start.pool());
  if (!options.ok()) return options.status();
  return RunWorker(*options, begin);
}

absl::StatusOr<int> ServeAlone(const control::v1::Pool& pool) {
  if (absl::Status status = BecomeUser(pool.user(), pool.group()); !status.ok()) return status;
  if (absl::Status status = SetEnvironment(pool); !status.ok()) return status;
  absl::StatusOr<WorkerOptions> options = OptionsFromPool(pool);
  if (!options.ok()) return options.status();
  for (const control::v1::Listener& listener : pool.listeners()) {
    options->addresses.push_back({.text = listener.address(), .protocol = WireProtocolOf(listener.protocol())});
    options->listen_backlog = listener.backlog();
  }
  return RunWorker(*options);
}

// What the operator is told: the traceback, if there is one, and the line that says what it means.
std::string TextOf(const absl::Status& status) {
  const absl::optional<absl::Cord> traceback = status.GetPayload(pyhost::kTracebackPayload);
  return absl::StrCat(traceback.has_value() ? absl::StrCat(std::string(*traceback), "\n") : "", status.message());
}

}  // namespace

int RunAlone(const control::v1::Pool& pool) {
  const absl::StatusOr<int> exit_code = ServeAlone(pool);
  if (exit_code.ok()) return *exit_code;
  Complain(exit_code.status());
  return absl::IsInvalidArgument(exit_code.status()) ? kExitWrongFlags : kExitFailed;
}

int RunUnderMaster() {
  prctl(PR_SET_NAME, "greenring");
  if (absl::Status status = DieWithMaster(kLinkFd); !status.ok()) {
    Complain(status);
    return kExitFailed;
  }
  fcntl(kLinkFd, F_SETFD, FD_CLOEXEC);  // the application's own programs have nothing to say there
  absl::StatusOr<MasterStart> begin = ReceiveStart(UniqueFd(kLinkFd));
  if (!begin.ok()) {
    Complain(begin.status());
    return kExitFailed;
  }
  const absl::StatusOr<int> exit_code = Serve(&*begin);
  if (exit_code.ok()) return *exit_code;
  // An application that is not there, or raises while it is imported, will do so again, until somebody changes
  // something.
  const absl::Status& status = exit_code.status();
  const bool configuration = absl::IsInvalidArgument(status) || absl::IsNotFound(status) ||
                             absl::IsFailedPrecondition(status) || absl::IsPermissionDenied(status);
  SendStartFailed(begin->link.get(), TextOf(status), configuration);
  return kExitFailed;
}

}  // namespace greenring::worker
