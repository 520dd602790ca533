// What the Python module `uwsgi` learns of its worker, and asks of the master: UwsgiHost (pyhost/uwsgi/host.h).
//
//   WorkerUwsgiHost host(options, master, &error_log);       // before the application is imported
//   RegisterUwsgiModule(&host, ...);
//   host.SetService(&service);                               // its counts are told from then on
//
// On the threads that run Python code, as UwsgiHost says.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/lock_table.h"
#include "greenring/worker/v1/uwsgi.pb.h"
#include "pyhost/error_log.h"
#include "pyhost/uwsgi/host.h"
#include "worker/http_service.h"
#include "worker/master_start.h"
#include "worker/options.h"
#include "worker/uwsgi_link.h"

namespace greenring::worker {

class WorkerUwsgiHost final : public pyhost::UwsgiHost {
 public:
  // `master` is null without one. Both are used as long as it lives.
  WorkerUwsgiHost(const WorkerOptions& options, MasterStart* master, pyhost::ErrorLog* error_log);

  UwsgiLink* link() { return &link_; }

  // Nullptr: there is none any more.
  void SetService(const HttpService* service) { service_ = service; }

  int worker_id() const override { return worker_id_; }
  int master_pid() const override { return master_pid_; }
  int worker_count() const override { return worker_count_; }
  int core_count() const override { return core_count_; }
  int64_t request_count() const override;
  void Log(const std::string& line) override { error_log_->Message(line); }

  absl::StatusOr<std::vector<pyhost::UwsgiWorker>> Workers() override;
  absl::Status Reload() override;
  absl::Status Stop() override;
  absl::Status RegisterSignal(int signal, const std::string& target) override;
  absl::Status SendSignal(int signal) override;
  absl::StatusOr<bool> IsRegistered(int signal) override;
  absl::StatusOr<int> SignalFor(const std::string& name) override;
  absl::Status AddTimer(int signal, const pyhost::UwsgiTimer& timer) override;
  absl::Status AddCron(int signal, const pyhost::UwsgiCron& cron) override;
  absl::Status AddFileMonitor(int signal, const std::string& path) override;
  absl::Status Lock(int lock) override;
  absl::Status Unlock(int lock) override;
  absl::StatusOr<bool> IsLocked(int lock) override;

 private:
  // The master's answer, or the error that it gives.
  absl::StatusOr<v1::UwsgiAnswer> Ask(const v1::UwsgiCall& call);
  absl::Status Tell(const v1::UwsgiCall& call) { return Ask(call).status(); }
  absl::Status LockHere(int lock);

  const int worker_id_;
  const int master_pid_;
  const int worker_count_;
  const int core_count_;
  pyhost::ErrorLog* const error_log_;
  const bool has_master_;
  UwsgiLink link_;
  LockTable locks_;  // without a master; the GIL guards it
  const HttpService* service_ = nullptr;
};

}  // namespace greenring::worker
