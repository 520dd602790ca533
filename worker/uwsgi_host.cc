#include "worker/uwsgi_host.h"

#include <unistd.h>

namespace greenring::worker {
namespace {

absl::Status NoMaster() {
  return absl::UnavailableError("there is no master to ask: start the server without --master=off");
}

}  // namespace

WorkerUwsgiHost::WorkerUwsgiHost(const WorkerOptions& options, const MasterStart* master, pyhost::ErrorLog* error_log)
    : worker_id_(master != nullptr ? master->start.slot() : 1),
      master_pid_(master != nullptr ? getppid() : 0),
      worker_count_(master != nullptr ? master->start.pool().workers() : 1),
      core_count_(static_cast<int>(options.cores.cores_max)),
      error_log_(error_log) {}

int64_t WorkerUwsgiHost::request_count() const {
  return service_ != nullptr ? static_cast<int64_t>(service_->statistics().requests()) : 0;
}

absl::StatusOr<std::vector<pyhost::UwsgiWorker>> WorkerUwsgiHost::Workers() { return NoMaster(); }
absl::Status WorkerUwsgiHost::Reload() { return NoMaster(); }
absl::Status WorkerUwsgiHost::Stop() { return NoMaster(); }
absl::Status WorkerUwsgiHost::RegisterSignal(int, const std::string&) { return NoMaster(); }
absl::Status WorkerUwsgiHost::SendSignal(int) { return NoMaster(); }
absl::StatusOr<bool> WorkerUwsgiHost::IsRegistered(int) { return NoMaster(); }
absl::Status WorkerUwsgiHost::AddTimer(int, const pyhost::UwsgiTimer&) { return NoMaster(); }
absl::Status WorkerUwsgiHost::AddCron(int, const pyhost::UwsgiCron&) { return NoMaster(); }
absl::Status WorkerUwsgiHost::AddFileMonitor(int, const std::string&) { return NoMaster(); }
absl::Status WorkerUwsgiHost::Lock(int) { return NoMaster(); }
absl::Status WorkerUwsgiHost::Unlock(int) { return NoMaster(); }
absl::StatusOr<bool> WorkerUwsgiHost::IsLocked(int) { return NoMaster(); }

}  // namespace greenring::worker
