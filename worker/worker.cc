#include "worker/worker.h"

#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "green/stack_overflow.h"
#include "ioloop/posix/interposer.h"
#include "pyhost/audit.h"
#include "pyhost/gil_waits.h"
#include "pyhost/os_thread.h"
#include "pyhost/preemption.h"
#include "pyhost/recursion.h"
#include "pyhost/uwsgi/module.h"
#include "worker/connection.h"
#include "worker/last_resort.h"

namespace greenring::worker {

Worker::Worker(const WorkerOptions& options, ioloop::Ring* ring, pyhost::WsgiHandler* handler, ErrorLog* error_log,
               AccessLog* access_log)
    : options_(options),
      error_log_(error_log),
      loop_(ring, &scheduler_),
      cores_(&scheduler_, options.cores, this),
      service_(&loop_, &cores_, options.http, error_log, access_log, this),
      pool_(&scheduler_, this),
      hubs_(&scheduler_, options.cores.stack_size_bytes, error_log),
      stack_reports_(&scheduler_, error_log),
      core_life_({.scheduler = &scheduler_,
                  .handler = handler,
                  .hubs = &hubs_,
                  .stack_reports = &stack_reports_,
                  .error_log = error_log,
                  .on_thread_lost = [this](const std::string& stack) { OnThreadLost(stack); }}),
      dumper_(&scheduler_, error_log),
      statistics_({.service = &service_,
                   .cores = &cores_,
                   .scheduler = &scheduler_,
                   .loop = &loop_,
                   .gil_wait = &pyhost::GilWaits::histogram(),
                   .preemptions = &pyhost::Preemption::count}),
      requests_(&service_, &scheduler_),
      shared_addresses_(&loop_, &service_, error_log),
      recycling_(
          &scheduler_, &service_, [this] { return statistics_.usage().RssBytes(); }, std::random_device()(), this),
      drain_timeout_ns_(options.drain_timeout_ns) {
  scheduler_.SetSwitchHook(&switch_hook_);
  scheduler_.SetAbandonedObserver(
      [](green::GreenThread* thread, void* worker) { static_cast<Worker*>(worker)->OnAbandoned(*thread); }, this);
}

Worker::~Worker() { scheduler_.RemoveTimer(&patience_); }

void Worker::Obey(MasterStart* master, UwsgiLink* uwsgi_link, const v1::FromWorker::Ready& ready) {
  ready_ = ready;
  master_handler_.emplace(MasterHandler::Parts{
      .service = &service_,
      .cores = &cores_,
      .dumper = &dumper_,
      .statistics = &statistics_,
      .requests = &requests_,
      .shared_addresses = &shared_addresses_,
      .apply = [this](const WorkerOptions& options, int64_t generation,
                      int canary_percent) { Apply(options, generation, canary_percent); },
      .drain = [this](const std::string& reason, int64_t timeout_ns) { Drain(reason, /*exit_code=*/0, timeout_ns); },
      .signals = pyhost::UwsgiModule::signal_sink()});
  cores_.Apply(options_.cores, master->start.pool().generation(), /*canary_percent=*/0);
  const auto make_link = [this, master] {
    return &master_link_.emplace(&loop_, std::move(master->link), std::move(master->decoder),
                                 std::move(master->descriptors), &*master_handler_);
  };
  if (options_.uwsgi_api) {
    uwsgi_link->TakeOver(&scheduler_, make_link);
  } else {
    make_link();
  }
  uwsgi_link_ = uwsgi_link;
  service_.SetNeighbours(&shared_addresses_);
  master_ = master;
}

bool Worker::Serve(std::vector<WorkerListener> listeners, const std::vector<const pyhost::EnvironTemplate*>& environs,
                   ShutdownSignal* shutdown_signal, DumpSignal* dump_signal) {
  Begin(std::move(listeners), environs, shutdown_signal);
  dump_signal->Watch(&dumper_, &scheduler_);
  pyhost::ScopedGilRelease release;
  pyhost::MainThread main_thread(&scheduler_, release.state());
  main_thread_ = &main_thread;
  main_thread.Start([this] { dumper_.Stop(); });
  dumper_.Start([this] { EndLoop(); });
  if (master_link_.has_value()) master_link_->Start(ready_, [this] { scheduler_.Stop(); });
  LastResort::SetPatience(drain_timeout_ns_ + kUnwindNs + kLastResortNs);
  green::SetAbandonAlarm(&LastResort::Arm);
  green::InstallStackOverflowHandler();  // the application's own, faulthandler's for one, is now behind it
  RunLoop();
  dump_signal->Unwatch();
  ReportWhatIsLeft();
  stack_reports_.Write();
  pyhost::UwsgiModule::SetSpawner(nullptr);
  return scheduler_.stats().live == 0 && scheduler_.stats().abandoned == 0 && threads_lost_ == 0;
}

// What may come from outside from here on waits for the loop. GIL held.
void Worker::Begin(std::vector<WorkerListener> listeners, const std::vector<const pyhost::EnvironTemplate*>& environs,
                   ShutdownSignal* shutdown_signal) {
  for (size_t i = 0; i < listeners.size(); ++i) {
    service_.AddListener(std::move(listeners[i].socket), environs[i], listeners[i].protocol);
  }
  if (master_ != nullptr) shared_addresses_.Apply(master_->start.routes(), std::move(master_->route_sockets));
  shutdown_signal->Watch([this](int signal_number) { Drain(absl::StrCat("signal ", signal_number, ": draining"), 0); });
  recycling_.Apply(options_.recycling);
  pool_.Open();
  SetEngine(options_.cores.engine);
  pyhost::UwsgiModule::SetSpawner([this](PyObject* function) { return SpawnHandler(function); });
}

// With everything that watches, or answers for, what runs on it. Without the GIL.
void Worker::RunLoop() {
  std::optional<pyhost::Preemption> preemption;
  if (options_.time_slice_ns > 0) preemption.emplace(&switch_hook_, options_.time_slice_ns);
  std::optional<pyhost::Audit> audit;
  if (options_.audit) audit.emplace(&switch_hook_, options_.audit_threshold_ns);
  posix::ScopedInterception interception(&loop_);
  pyhost::GilErrands errands;
  core_life_.SetErrands(&errands);
  scheduler_.Run(&loop_);
  if (audit.has_value()) error_log_->Message(audit->Report());
}

// What may change while the worker runs; a canary is for cores only.
void Worker::Apply(const WorkerOptions& options, int64_t generation, int canary_percent) {
  cores_.Apply(options.cores, generation, canary_percent);
  if (canary_percent != 0) return;
  SetEngine(options.cores.engine);
  drain_timeout_ns_ = options.drain_timeout_ns;
  LastResort::SetPatience(drain_timeout_ns_ + kUnwindNs + kLastResortNs);
  service_.Apply(options.http);
  recycling_.Apply(options.recycling);
}

// Of what is to come. A hub begins at once: greenlets of the import wait for it.
void Worker::SetEngine(CoreEngine engine) {
  engine_ = engine;
  if (HasHub(engine)) hubs_.Of(engine);
}

// A handler of the module uwsgi, which is no request: a greenlet where the application's other code is one.
bool Worker::SpawnHandler(PyObject* function) {
  if (engine_ == CoreEngine::kGevent) return hubs_.Of(engine_)->Spawn(function);
  return pyhost::UwsgiModule::SpawnInGreenThread(function);
}

// What is still at work: so many requests, and what the pool runs.
std::string Worker::DescribeLive(size_t requests) const {
  const size_t functions = pool_.live_count();
  if (functions == 0) return absl::StrCat(requests, " requests");
  const std::string started = absl::StrCat(functions, " functions that greenring.go() has started");
  return requests == 0 ? started : absl::StrCat(requests, " requests and ", started);
}

void Worker::ReportWhatIsLeft() {
  if (cores_.busy_count() > 0 || pool_.live_count() > 0) {
    error_log_->Message(
        absl::StrCat(DescribeLive(cores_.busy_count()), " did not end after the drain; exiting without them"));
  } else if (scheduler_.os_thread() != nullptr) {
    error_log_->Message("threads of the application did not end after the drain; exiting without them");
  }
}

// ---- the drain, and what ends behind it, in that order ----

// The first reason for a drain decides about the exit code, and about the timeout (0: the configured one).
void Worker::Drain(const std::string& reason, int exit_code, int64_t timeout_ns) {
  error_log_->Message(reason);
  if (service_.draining()) return;
  exit_code_ = exit_code;
  if (timeout_ns == 0) timeout_ns = drain_timeout_ns_;
  if (pool_.live_count() > 0) error_log_->Message(absl::StrCat("waiting for ", DescribeLive(cores_.busy_count())));
  scheduler_.AddTimer(&patience_, scheduler_.clock()->NowNs() + timeout_ns);
  service_.Drain();
  if (!master_link_.has_value()) return;
  if (exit_code == kExitUnfit) master_link_->SendUnfit(reason, /*draining=*/true);
  master_link_->LookForNews();
}

void Worker::OnPatienceEnded() {
  if (unwinding_) return EndLoop();
  unwinding_ = true;
  const size_t lost = service_.AbortAll();
  if (lost > 0 || pool_.live_count() > 0) {
    error_log_->Message(absl::StrCat("the drain timed out: ", DescribeLive(lost), " were cut short"));
  }
  hubs_.EndGreenlets();
  pool_.CancelAll("draining");
  scheduler_.AddTimer(&patience_, scheduler_.clock()->NowNs() + kUnwindNs);
}

void Worker::OnCoresEnded() {
  hubs_.Stop([this] { pool_.Stop(); });
}

// Last, the master is told how it ended.
void Worker::EndLoop() {
  scheduler_.RemoveTimer(&patience_);
  if (!master_link_.has_value()) return scheduler_.Stop();
  if (std::exchange(ending_, true)) return;
  if (options_.uwsgi_api) uwsgi_link_->Stop();
  master_link_->Stop();
}

// ---- reasons for a drain ----

void Worker::OnOverdue() {
  Drain("a request does not end although it has timed out: draining, so that this worker can be replaced", kExitUnfit);
}

// Who has a master serves on: the replacement is to be ready first.
void Worker::OnUnfit(const std::string& reason) {
  if (!master_link_.has_value()) return Drain(absl::StrCat(reason, ": draining, to be started anew"), kExitUnfit);
  error_log_->Message(absl::StrCat(reason, ": asking to be replaced"));
  master_link_->SendUnfit(reason, /*draining=*/false);
}

// Any green thread; its owner knows already.
void Worker::OnAbandoned(const green::GreenThread& thread) {
  stack_reports_.Write();
  Drain(absl::StrCat("the stack of green thread ", thread.id(), " (", thread.name(),
                     ") is lost, with the memory and the locks that it holds: draining, so that this worker can be "
                     "replaced\n",
                     pyhost::DescribeAbandonedStack(thread.reserve_note()->state)),
        kExitUnfit);
}

void Worker::OnThreadLost(const std::string& stack) {
  ++threads_lost_;
  Drain(absl::StrCat("the stack of an OS thread is lost, with the memory and the locks that it holds: draining, so "
                     "that this worker can be replaced\n",
                     stack),
        kExitUnfit);
}

// ---- the cores ----

void Worker::OnCoreAbandoned(green::GreenThread* /*core*/, HttpExchange* exchange) {
  if (exchange == nullptr) return;
  error_log_->RequestMessage(exchange->name(), "the stack of its green thread overflowed; the request is lost");
  exchange->connection()->OnAbandoned();
}

void Worker::OnGenerationsChanged() {
  pool_.EndOutdated();
  if (master_link_.has_value()) master_link_->LookForNews();
}

}  // namespace greenring::worker
