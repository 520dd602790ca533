#include "worker/uwsgi_host.h"

#include <unistd.h>

#include <filesystem>
#include <memory>
#include <system_error>

#include "worker/python_wait.h"

namespace greenring::worker {
namespace {

using v1::UwsgiAnswer;
using v1::UwsgiCall;

// Without a master there is one holder of locks.
constexpr LockTable::Holder kThisWorker = 1;

}  // namespace

WorkerUwsgiHost::WorkerUwsgiHost(const WorkerOptions& options, MasterStart* master, pyhost::ErrorLog* error_log)
    : worker_id_(master != nullptr ? master->start.slot() : 1),
      master_pid_(master != nullptr ? getppid() : 0),
      worker_count_(master != nullptr ? master->start.pool().workers() : 1),
      core_count_(static_cast<int>(options.cores.cores_max)),
      error_log_(error_log),
      has_master_(master != nullptr),
      link_(master) {}

int64_t WorkerUwsgiHost::request_count() const {
  return service_ != nullptr ? static_cast<int64_t>(service_->statistics().requests()) : 0;
}

// ---- the master ----------------------------------------------------------------------------------------------------

absl::StatusOr<UwsgiAnswer> WorkerUwsgiHost::Ask(const UwsgiCall& call) {
  absl::StatusOr<UwsgiAnswer> answer = link_.Ask(call);
  if (!answer.ok() || answer->code() == 0) return answer;
  return absl::Status(static_cast<absl::StatusCode>(answer->code()), answer->message());
}

absl::StatusOr<std::vector<pyhost::UwsgiWorker>> WorkerUwsgiHost::Workers() {
  UwsgiCall call;
  call.mutable_list_workers();
  const absl::StatusOr<UwsgiAnswer> answer = Ask(call);
  if (!answer.ok()) return answer.status();
  std::vector<pyhost::UwsgiWorker> workers;
  for (const UwsgiAnswer::Worker& worker : answer->workers()) {
    workers.push_back({.id = worker.id(),
                       .pid = worker.pid(),
                       .requests = worker.requests(),
                       .exceptions = worker.exceptions(),
                       .signals = worker.signals(),
                       .busy = worker.busy(),
                       .rss_bytes = worker.rss_bytes(),
                       .running_time_us = worker.running_time_us(),
                       .last_spawn_s = worker.last_spawn_s(),
                       .respawn_count = worker.respawn_count(),
                       .tx_bytes = worker.tx_bytes(),
                       .avg_rt_us = worker.avg_rt_us()});
  }
  return workers;
}

absl::Status WorkerUwsgiHost::Reload() {
  UwsgiCall call;
  call.mutable_reload();
  return Tell(call);
}

absl::Status WorkerUwsgiHost::Stop() {
  UwsgiCall call;
  call.mutable_stop();
  return Tell(call);
}

// ---- signals -------------------------------------------------------------------------------------------------------

absl::Status WorkerUwsgiHost::RegisterSignal(int signal, const std::string& target) {
  UwsgiCall call;
  call.mutable_register_signal()->set_signal(signal);
  call.mutable_register_signal()->set_target(target);
  return Tell(call);
}

absl::Status WorkerUwsgiHost::SendSignal(int signal) {
  UwsgiCall call;
  call.mutable_send_signal()->set_signal(signal);
  return Tell(call);
}

absl::StatusOr<bool> WorkerUwsgiHost::IsRegistered(int signal) {
  UwsgiCall call;
  call.mutable_is_registered()->set_signal(signal);
  const absl::StatusOr<UwsgiAnswer> answer = Ask(call);
  if (!answer.ok()) return answer.status();
  return answer->truth();
}

absl::StatusOr<int> WorkerUwsgiHost::SignalFor(const std::string& name) {
  UwsgiCall call;
  call.mutable_signal_for()->set_name(name);
  const absl::StatusOr<UwsgiAnswer> answer = Ask(call);
  if (!answer.ok()) return answer.status();
  return answer->signal();
}

absl::Status WorkerUwsgiHost::AddTimer(int signal, const pyhost::UwsgiTimer& timer) {
  UwsgiCall call;
  call.mutable_add_timer()->set_signal(signal);
  call.mutable_add_timer()->set_period_ns(timer.period_ns);
  call.mutable_add_timer()->set_iterations(timer.iterations);
  call.mutable_add_timer()->set_from_last(timer.from_last);
  return Tell(call);
}

absl::Status WorkerUwsgiHost::AddCron(int signal, const pyhost::UwsgiCron& cron) {
  UwsgiCall call;
  call.mutable_add_cron()->set_signal(signal);
  call.mutable_add_cron()->set_minute(cron.minute);
  call.mutable_add_cron()->set_hour(cron.hour);
  call.mutable_add_cron()->set_day(cron.day);
  call.mutable_add_cron()->set_month(cron.month);
  call.mutable_add_cron()->set_weekday(cron.weekday);
  return Tell(call);
}

// The master's working directory need not be the application's.
absl::Status WorkerUwsgiHost::AddFileMonitor(int signal, const std::string& path) {
  std::error_code error;
  UwsgiCall call;
  call.mutable_add_file_monitor()->set_signal(signal);
  call.mutable_add_file_monitor()->set_path(std::filesystem::absolute(path, error).string());
  return Tell(call);
}

// ---- locks ---------------------------------------------------------------------------------------------------------

absl::Status WorkerUwsgiHost::Lock(int lock) {
  if (!has_master_) return LockHere(lock);
  UwsgiCall call;
  call.mutable_lock()->set_lock(lock);
  return Tell(call);
}

absl::Status WorkerUwsgiHost::LockHere(int lock) {
  const auto wait = std::make_shared<PythonWait<bool>>();
  locks_.Lock(lock, kThisWorker, [this, lock, wait] {
    if (!wait->Set(true)) locks_.Unlock(lock, kThisWorker).IgnoreError();
  });
  if (wait->Take().has_value()) return absl::OkStatus();
  if (wait->TakeLate().has_value()) locks_.Unlock(lock, kThisWorker).IgnoreError();
  return absl::CancelledError("the wait for the lock was interrupted");
}

absl::Status WorkerUwsgiHost::Unlock(int lock) {
  if (!has_master_) return locks_.Unlock(lock, kThisWorker);
  UwsgiCall call;
  call.mutable_unlock()->set_lock(lock);
  return Tell(call);
}

absl::StatusOr<bool> WorkerUwsgiHost::IsLocked(int lock) {
  if (!has_master_) return locks_.IsLocked(lock);
  UwsgiCall call;
  call.mutable_is_locked()->set_lock(lock);
  const absl::StatusOr<UwsgiAnswer> answer = Ask(call);
  if (!answer.ok()) return answer.status();
  return answer->truth();
}

}  // namespace greenring::worker
