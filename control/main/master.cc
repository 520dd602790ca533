#include "control/main/master.h"

#include <signal.h>
#include <unistd.h>

#include <boost/asio/signal_set.hpp>
#include <cstdio>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/version.h"
#include "control/asio_timers.h"
#include "control/config/engines.h"
#include "control/config/field_violations.h"
#include "control/config/pool_config.h"
#include "control/config/state_directory.h"
#include "control/cpu_affinity.h"
#include "control/desired_state.h"
#include "control/event_printer.h"
#include "control/listening_sockets.h"
#include "control/metrics_server.h"
#include "control/pid_file.h"
#include "control/reactor.h"
#include "control/server_log.h"
#include "control/service/api_server.h"
#include "control/service/call_log.h"
#include "control/service/grpc_log.h"
#include "control/supervisor.h"
#include "control/worker_process.h"

namespace greenring::control {
namespace {

// In one piece: gRPC's threads write lines too.
void WriteLine(const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); }

class Master final : private Supervisor::Host {
 public:
  // `log` must outlive it.
  Master(const MasterOptions& options, const ServerLog* log)
      : options_(options), log_(log), signals_(*reactor_.context()) {}

  absl::Status Start() {
    // Whoever goes away while the master writes to it gets an error, not the master a signal.
    signal(SIGPIPE, SIG_IGN);
    const v1::Configuration& configuration = options_.configuration;
    absl::StatusOr<DesiredState> state = LoadState();
    if (!state.ok()) return state.status();
    Supervisor::Environment environment = {.timers = timers_.get(),
                                           .factory = factory_.get(),
                                           .sockets = sockets_.get(),
                                           .cpus = AvailableCpus(),
                                           .seed = std::random_device()(),
                                           .save = nullptr};
    if (state_directory_ != nullptr) {
      environment.save = [this](const v1::Configuration& kept) { return state_directory_->Save(kept); };
    }
    server_.set_version(kVersion);
    server_.set_pid(getpid());
    *server_.mutable_start_time() = timers_->WallTime();
    server_.set_state_directory(configuration.state_directory());
    for (const v1::Engine engine : AvailableEngines()) server_.add_engines(engine);
    supervisor_ = std::make_unique<Supervisor>(std::move(environment), &server_, *std::move(state),
                                               static_cast<Supervisor::Host*>(this));
    supervisor_->AddObserver(&printer_);
    if (absl::Status status = StartFrontEnds(); !status.ok()) return status;
    if (!configuration.pid_file().empty()) {
      absl::StatusOr<std::unique_ptr<PidFile>> pid_file = PidFile::Write(configuration.pid_file());
      if (!pid_file.ok()) return pid_file.status();
      pid_file_ = *std::move(pid_file);
    }
    WaitForSignal();
    // Last: from here on there are processes.
    if (absl::Status status = supervisor_->Begin(); !status.ok()) return status;
    one_pool_ = supervisor_->ListPools().size() == 1;
    OnChanged();  // all may be drained, or there may be none
    return absl::OkStatus();
  }

  int Run() {
    reactor_.Run();
    if (api_ != nullptr) api_->Shutdown();
    return exit_code_;
  }

 private:
  absl::StatusOr<DesiredState> LoadState() {
    const v1::Configuration& configuration = options_.configuration;
    v1::Configuration kept;
    if (!configuration.state_directory().empty()) {
      absl::StatusOr<std::unique_ptr<StateDirectory>> directory = StateDirectory::Open(configuration.state_directory());
      if (!directory.ok()) return directory.status();
      state_directory_ = *std::move(directory);
      absl::StatusOr<std::optional<v1::Configuration>> loaded = state_directory_->Load();
      if (!loaded.ok()) return loaded.status();
      if (loaded->has_value()) kept = **std::move(loaded);
    }
    DesiredState state = CombineWithFile(configuration.pools(), kept);
    std::vector<v1::Pool> pools;
    for (const auto& [name, pool] : state.pools) pools.push_back(pool);
    if (absl::Status status = ToStatus(ValidateTogether(pools)); !status.ok()) {
      return absl::FailedPreconditionError(absl::StrCat("the pools of the configuration and those of ",
                                                        configuration.state_directory(),
                                                        " do not go together: ", status.message()));
    }
    return state;
  }

  absl::Status StartFrontEnds() {
    const v1::Configuration& configuration = options_.configuration;
    const bool off = configuration.control().addresses_size() == 1 && configuration.control().addresses(0) == "off";
    if (!off) {
      absl::StatusOr<std::unique_ptr<ApiServer>> api =
          ApiServer::Start(configuration.control(), &reactor_, supervisor_.get(), &call_log_);
      if (!api.ok()) return api.status();
      api_ = *std::move(api);
      for (const std::string& address : api_->addresses()) server_.add_control_addresses(address);
    }
    absl::StatusOr<std::unique_ptr<MetricsServer>> metrics =
        MetricsServer::Start(configuration.metrics(), &reactor_, supervisor_.get());
    if (!metrics.ok()) return metrics.status();
    metrics_ = *std::move(metrics);
    if (metrics_ != nullptr) server_.set_metrics_address(metrics_->address());
    return absl::OkStatus();
  }

  void WaitForSignal() {
    if (!std::exchange(has_signals_, true)) {
      for (const int number : {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGTTIN, SIGTTOU, SIGUSR1}) signals_.add(number);
    }
    signals_.async_wait([this](const boost::system::error_code& error, int number) {
      if (error) return;
      OnSignal(number);
      WaitForSignal();
    });
  }

  void OnSignal(int number) {
    const Caller caller = {absl::StrCat("SIG", sigabbrev_np(number))};
    switch (number) {
      case SIGHUP:
        return Reload(caller);
      case SIGTTIN:
        return supervisor_->ScaleAll(+1, caller);
      case SIGTTOU:
        return supervisor_->ScaleAll(-1, caller);
      case SIGUSR1:
        return supervisor_->DumpAll();
      case SIGQUIT:
        return EndAtOnce();
      default:
        if (stopping_) return EndAtOnce();
        stopping_ = true;
        return supervisor_->Stop();
    }
  }

  void Reload(const Caller& caller) {
    if (options_.reread == nullptr) return supervisor_->ReloadAll(caller);
    const absl::StatusOr<v1::Configuration> configuration = options_.reread();
    if (configuration.ok()) return supervisor_->Reload(*configuration, caller);
    log_->Say(
        absl::StrCat("the configuration is not used, everything stays as it is: ", configuration.status().message()),
        ServerLog::Severity::kError);
  }

  void EndAtOnce() {
    exit_code_ = kMasterExitFailed;
    supervisor_->KillAll();
    reactor_.Stop();
  }

  void OnChanged() override {
    if (was_ready_ || stopping_) return;
    bool configuration = false;
    const std::string error = supervisor_->StartError(&configuration);
    if (one_pool_ && configuration && !error.empty()) {
      stopping_ = true;
      exit_code_ = kMasterExitFailed;
      end_ = timers_->After(0, [this] { supervisor_->Stop(); });
      return;
    }
    if (!supervisor_->AllReady()) return;
    was_ready_ = true;
    for (const std::string& address : supervisor_->Addresses()) log_->Say(absl::StrCat("listening on ", address));
    if (api_ != nullptr) {
      for (const std::string& address : api_->addresses()) log_->Say(absl::StrCat("controlled through ", address));
    }
    log_->Say("ready");
  }

  void OnStopped() override { reactor_.Stop(); }

  const MasterOptions& options_;
  const ServerLog* const log_;
  const GrpcLog grpc_log_{log_};
  Reactor reactor_;
  const std::unique_ptr<Timers> timers_ = MakeAsioTimers(&reactor_);
  const std::unique_ptr<WorkerFactory> factory_ = MakeWorkerFactory(reactor_.context());
  const std::unique_ptr<ListeningSockets> sockets_ = MakeListeningSockets();
  std::unique_ptr<StateDirectory> state_directory_;
  EventPrinter printer_{log_};
  LineCallLog call_log_{log_};
  v1::Server server_;
  std::unique_ptr<Supervisor> supervisor_;
  std::unique_ptr<ApiServer> api_;
  std::unique_ptr<MetricsServer> metrics_;
  std::unique_ptr<PidFile> pid_file_;
  std::unique_ptr<Timers::Timer> end_;
  boost::asio::signal_set signals_;
  bool has_signals_ = false;
  bool one_pool_ = false;
  bool was_ready_ = false;
  bool stopping_ = false;
  int exit_code_ = kMasterExitDrained;
};

}  // namespace

int RunMaster(const MasterOptions& options) {
  const bool is_json = options.configuration.log_format() == v1::Logging::JSON;
  const ServerLog log(&WriteLine, is_json ? ServerLog::Format::kJson : ServerLog::Format::kText);
  Master master(options, &log);
  if (const absl::Status status = master.Start(); !status.ok()) {
    log.Say(std::string(status.message()), ServerLog::Severity::kError);
    return absl::IsInvalidArgument(status) ? kMasterExitConfiguration : kMasterExitFailed;
  }
  return master.Run();
}

}  // namespace greenring::control
