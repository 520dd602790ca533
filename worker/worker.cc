#include "worker/worker.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/os_thread.h"
#include "green/scheduler.h"
#include "green/stack_overflow.h"
#include "ioloop/event_loop.h"
#include "ioloop/listener.h"
#include "ioloop/posix/blocking_call.h"
#include "ioloop/posix/interposer.h"
#include "ioloop/posix/threads.h"
#include "ioloop/uring.h"
#include "pyhost/application.h"
#include "pyhost/audit.h"
#include "pyhost/gil.h"
#include "pyhost/gil_waits.h"
#include "pyhost/green_pool.h"
#include "pyhost/greenlet_state.h"
#include "pyhost/hub.h"
#include "pyhost/interpreter.h"
#include "pyhost/interrupt.h"
#include "pyhost/main_thread.h"
#include "pyhost/module/module.h"
#include "pyhost/os_thread.h"
#include "pyhost/preemption.h"
#include "pyhost/recursion.h"
#include "pyhost/uwsgi/module.h"
#include "pyhost/wsgi_handler.h"
#include "worker/access_log.h"
#include "worker/connection.h"
#include "worker/core_pool.h"
#include "worker/dump_signal.h"
#include "worker/http_service.h"
#include "worker/hub_core.h"
#include "worker/last_resort.h"
#include "worker/listeners.h"
#include "worker/log.h"
#include "worker/master_handler.h"
#include "worker/master_link.h"
#include "worker/recycling.h"
#include "worker/request_list.h"
#include "worker/shared_addresses.h"
#include "worker/shutdown_signal.h"
#include "worker/statistics_collector.h"
#include "worker/thread_core.h"
#include "worker/thread_dumper.h"
#include "worker/uwsgi_host.h"
#include "worker/uwsgi_link.h"

namespace greenring::worker {
namespace {

// A wait is over before the green thread yields.
void AfterUnlockOfPreempted(const void* mutex) {
  pyhost::GilWaits::AfterUnlock(mutex);
  pyhost::Preemption::AfterUnlock(mutex);
}

// The GIL is the C library's business; statistics, and preemption where there is to be any, are told of it.
void LeaveGilAlone(bool preempted) {
  const pyhost::MemoryRange gil = pyhost::GilMemory();
  OsThread::NameWaits(gil.begin, gil.size_bytes, "GIL");
  posix::LeaveAlone({.begin = gil.begin,
                     .size_bytes = gil.size_bytes,
                     .before_lock = preempted ? &pyhost::Preemption::BeforeLock : nullptr,
                     .after_unlock = preempted ? &AfterUnlockOfPreempted : &pyhost::GilWaits::AfterUnlock,
                     .before_wait = &pyhost::GilWaits::BeforeWait});
}

// From here on a thread that Python code starts is a green thread. GIL held.
void MakePythonThreadsGreen() {
  posix::StartCapture capture;
  pyhost::StartOneThread();
  posix::SetGreenStarts(capture.kind());
}

// What is said to whoever started the server, apart from the error log.
void Say(const std::string& text) { std::fprintf(stderr, "greenring: %s\n", text.c_str()); }

// GIL held.
void WarnOfLongSwitchInterval(const WorkerOptions& options, ErrorLog* error_log) {
  const int64_t interval_ns = pyhost::SwitchIntervalNs();
  if (options.time_slice_ns == 0 || options.time_slice_ns >= interval_ns) return;
  error_log->Message(absl::StrCat("--time_slice=", absl::FormatDuration(absl::Nanoseconds(options.time_slice_ns)),
                                  " is less than sys.getswitchinterval(), ",
                                  absl::FormatDuration(absl::Nanoseconds(interval_ns)),
                                  ", after which Python code gives way; the application can set a shorter one with "
                                  "sys.setswitchinterval()"));
}

// What the application is told of a request.
pyhost::RequestInfo InfoOf(HttpExchange* request) {
  Connection* const connection = request->connection();
  static const pyhost::PeerAddress kToldByVariables;
  const bool is_told = !request->head().remote_addr.empty();  // the other end is a web server: no need to ask for it
  return {request->head(), is_told ? kToldByVariables : connection->peer(), *connection->listener()->environ,
          request->request_id(), request->script_name_bytes()};
}

// For the application, if it is to have the module: what that is told here, beside what `host` tells.
void RegisterUwsgi(const WorkerOptions& options, const std::vector<WorkerListener>& listeners, WorkerUwsgiHost* host) {
  std::vector<int> sockets;
  for (const WorkerListener& listener : listeners) sockets.push_back(listener.socket->fd());
  pyhost::RegisterUwsgiModule(host, {.options = options.uwsgi_options, .sockets = std::move(sockets)});
}

// Serves with everything that was set up; destroyed in the reverse order of its making.
class Worker final : private CorePool::Runner,
                     private HttpService::Observer,
                     private pyhost::GreenPool::Observer,
                     private Recycling::Observer {
 public:
  Worker(const WorkerOptions& options, ioloop::Ring* ring, pyhost::WsgiHandler* handler, ErrorLog* error_log,
         AccessLog* access_log)
      : options_(options),
        handler_(handler),
        error_log_(error_log),
        loop_(ring, &scheduler_),
        cores_(&scheduler_, options.cores, this),
        service_(&loop_, &cores_, options.http, error_log, access_log, this),
        pool_(&scheduler_, this),
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

  ~Worker() { scheduler_.RemoveTimer(&patience_); }

  // From the beginning of Serve on a master asks, and is told `ready`.
  void Obey(MasterStart* master, UwsgiLink* uwsgi_link, const v1::FromWorker::Ready& ready) {
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

  // GIL held, and given up meanwhile. Returns when everything has been served, or when the drain has taken too long;
  // false: green threads are left, whose frames refer to everything here.
  bool Serve(std::vector<WorkerListener> listeners, const std::vector<const pyhost::EnvironTemplate*>& environs,
             ShutdownSignal* shutdown_signal, DumpSignal* dump_signal) {
    for (size_t i = 0; i < listeners.size(); ++i) {
      service_.AddListener(std::move(listeners[i].socket), environs[i], listeners[i].protocol);
    }
    if (master_ != nullptr) shared_addresses_.Apply(master_->start.routes(), std::move(master_->route_sockets));
    shutdown_signal->Watch(
        [this](int signal_number) { Drain(absl::StrCat("signal ", signal_number, ": draining"), 0); });
    recycling_.Apply(options_.recycling);
    pool_.Open();
    SetEngine(options_.cores.engine);
    pyhost::UwsgiModule::SetSpawner([this](PyObject* function) { return SpawnHandler(function); });
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
    {
      std::optional<pyhost::Preemption> preemption;
      if (options_.time_slice_ns > 0) preemption.emplace(&switch_hook_, options_.time_slice_ns);
      std::optional<pyhost::Audit> audit;
      if (options_.audit) audit.emplace(&switch_hook_, options_.audit_threshold_ns);
      posix::ScopedInterception interception(&loop_);
      pyhost::GilErrands errands;
      errands_ = &errands;
      scheduler_.Run(&loop_);
      if (audit.has_value()) error_log_->Message(audit->Report());
    }
    dump_signal->Unwatch();
    if (cores_.busy_count() > 0 || pool_.live_count() > 0) {
      error_log_->Message(
          absl::StrCat(DescribeLive(cores_.busy_count()), " did not end after the drain; exiting without them"));
    } else if (scheduler_.os_thread() != nullptr) {
      error_log_->Message("threads of the application did not end after the drain; exiting without them");
    }
    ReportStacks();
    pyhost::UwsgiModule::SetSpawner(nullptr);
    return scheduler_.stats().live == 0 && scheduler_.stats().abandoned == 0 && threads_lost_ == 0;
  }

  const HttpService* service() const { return &service_; }

  // Of the process, after Serve.
  int exit_code() const { return exit_code_; }

 private:
  struct Patience : green::Timer {
    explicit Patience(Worker* worker)
        : Timer([](Timer* timer) { static_cast<Patience*>(timer)->worker->OnPatienceEnded(); }), worker(worker) {}
    Worker* const worker;
  };

  // How long cores have to unwind after their connections were taken from them.
  static constexpr int64_t kUnwindNs = 2 * kNanosecondsPerSecond;

  // Of the green thread that all greenlets of a hub have their stacks on, one at a time.
  static constexpr size_t kHubStackSizeBytesMin = size_t{8} << 20;

  // And the process to end after that, before the last resort.
  static constexpr int64_t kLastResortNs = 5 * kNanosecondsPerSecond;

  void RunCore(CorePool* pool) override {
    if (pool->current_engine() == CoreEngine::kThread) return RunThreadCore(pool);
    if (HasHub(pool->current_engine())) return RunHubCore(pool);
    pyhost::ScopedPythonThread python;
    while (HttpExchange* exchange = pool->Next()) {
      Connection* connection = exchange->connection();
      handler_->Handle(InfoOf(exchange), exchange);
      connection->OnServed();
      pyhost::Interruptible::Current()->Reset();
      if (scheduler_.stats().overflows != overflows_reported_) [[unlikely]] {
        scheduler_.LeaveReserve();  // now, so that the report has it
        ReportStacks();
      }
    }
  }

  void RunThreadCore(CorePool* pool) {
    ThreadCore core(
        &scheduler_, errands_, pool->current_stack_size_bytes(),
        [this](HttpExchange* request, pyhost::Exchange* exchange) { handler_->Handle(InfoOf(request), exchange); });
    while (HttpExchange* request = pool->Next()) {
      Connection* const connection = request->connection();
      connection->peer();  // looked up here, and known from then on
      request->request_id();
      const absl::Status served = core.Serve(request);
      if (absl::IsDataLoss(served)) return OnThreadLost(core, request, served);
      if (!served.ok()) {
        error_log_->RequestMessage(request->name(), std::string(served.message()));
        request->Abort();
      }
      connection->OnServed();
    }
  }

  void RunHubCore(CorePool* pool) {
    HubCore core(HubOf(pool->current_engine()), [this](HttpExchange* request, pyhost::Exchange* exchange) {
      handler_->Handle(InfoOf(request), exchange);
    });
    while (HttpExchange* request = pool->Next()) {
      if (!core.Serve(request)) {
        error_log_->RequestMessage(request->name(), "its greenlet ended before it began; the connection is closed");
        request->Abort();
      }
      request->connection()->OnServed();
    }
  }

  // Begins when the engine is first needed, and lives as long as the worker: what runs there in the background goes
  // on when the pool has another engine.
  pyhost::Hub* HubOf(CoreEngine engine) {
    std::unique_ptr<pyhost::Hub>& hub = engine == CoreEngine::kGevent ? gevent_hub_ : greenlet_hub_;
    if (hub == nullptr) {
      const size_t stack_size_bytes = std::max(options_.cores.stack_size_bytes, kHubStackSizeBytesMin);
      hub = engine == CoreEngine::kGevent ? pyhost::NewGeventHub(&scheduler_, stack_size_bytes, error_log_)
                                          : pyhost::NewGreenletHub(&scheduler_, stack_size_bytes, error_log_);
      hub->Start();
    }
    return hub.get();
  }

  void OnThreadLost(const ThreadCore& core, HttpExchange* request, const absl::Status& why) {
    ++threads_lost_;
    error_log_->RequestMessage(request->name(), std::string(why.message()));
    request->connection()->OnAbandoned();
    Drain(absl::StrCat(
              "the stack of an OS thread is lost, with the memory and the locks that it holds: draining, so that "
              "this worker can be replaced\n",
              core.DescribeLostStack()),
          kExitUnfit);
  }

  void OnGenerationsChanged() override {
    pool_.EndOutdated();
    if (master_link_.has_value()) master_link_->LookForNews();
  }

  void OnCoreAbandoned(green::GreenThread* core, HttpExchange* exchange) override {
    if (exchange == nullptr) return;
    error_log_->RequestMessage(exchange->name(), "the stack of its green thread overflowed; the request is lost");
    exchange->connection()->OnAbandoned();
  }

  // Any green thread; its owner knows already.
  void OnAbandoned(const green::GreenThread& thread) {
    ReportStacks();
    Drain(absl::StrCat("the stack of green thread ", thread.id(), " (", thread.name(),
                       ") is lost, with the memory and the locks that it holds: draining, so that this worker can be "
                       "replaced\n",
                       pyhost::DescribeAbandonedStack(thread.reserve_note()->state)),
          kExitUnfit);
  }

  // To the error log: after an overflow, and at the end. On demand: greenring.stack_report().
  void ReportStacks() {
    overflows_reported_ = scheduler_.stats().overflows;
    const green::StackReport report = scheduler_.ReportStacks();
    error_log_->Message(absl::StrCat("stacks: deepest use ", report.deepest_bytes / 1024, " KiB of ",
                                     report.size_bytes / 1024, " KiB, ", overflows_reported_,
                                     " overflows; recommended --stack_size=", report.recommended_bytes / 1024, "KiB"));
  }

  // What may change while the worker runs; a canary is for cores only.
  void Apply(const WorkerOptions& options, int64_t generation, int canary_percent) {
    cores_.Apply(options.cores, generation, canary_percent);
    if (canary_percent != 0) return;
    SetEngine(options.cores.engine);
    drain_timeout_ns_ = options.drain_timeout_ns;
    LastResort::SetPatience(drain_timeout_ns_ + kUnwindNs + kLastResortNs);
    service_.Apply(options.http);
    recycling_.Apply(options.recycling);
  }

  // Of what is to come. A hub begins at once: greenlets of the import wait for it.
  void SetEngine(CoreEngine engine) {
    engine_ = engine;
    if (HasHub(engine)) HubOf(engine);
  }

  // A handler of the module uwsgi, which is no request: a greenlet where the application's other code is one.
  bool SpawnHandler(PyObject* function) {
    if (engine_ == CoreEngine::kGevent) return HubOf(engine_)->Spawn(function);
    return pyhost::UwsgiModule::SpawnInGreenThread(function);
  }

  // What is still at work: so many requests, and what the pool runs.
  std::string DescribeLive(size_t requests) const {
    const size_t functions = pool_.live_count();
    if (functions == 0) return absl::StrCat(requests, " requests");
    const std::string started = absl::StrCat(functions, " functions that greenring.go() has started");
    return requests == 0 ? started : absl::StrCat(requests, " requests and ", started);
  }

  // The first reason for a drain decides about the exit code, and about the timeout (0: the configured one).
  void Drain(const std::string& reason, int exit_code, int64_t timeout_ns = 0) {
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

  // Last, the master is told how it ended.
  void EndLoop() {
    scheduler_.RemoveTimer(&patience_);
    if (!master_link_.has_value()) return scheduler_.Stop();
    if (std::exchange(ending_, true)) return;
    if (options_.uwsgi_api) uwsgi_link_->Stop();
    master_link_->Stop();
  }

  void OnPatienceEnded() {
    if (unwinding_) return EndLoop();
    unwinding_ = true;
    const size_t lost = service_.AbortAll();
    if (lost > 0 || pool_.live_count() > 0) {
      error_log_->Message(absl::StrCat("the drain timed out: ", DescribeLive(lost), " were cut short"));
    }
    for (const auto& hub : {greenlet_hub_.get(), gevent_hub_.get()}) {
      if (hub != nullptr) hub->EndGreenlets();
    }
    pool_.CancelAll("draining");
    scheduler_.AddTimer(&patience_, scheduler_.clock()->NowNs() + kUnwindNs);
  }

  void OnDrained() override { cores_.Stop(); }
  void OnOverdue() override {
    Drain("a request does not end although it has timed out: draining, so that this worker can be replaced",
          kExitUnfit);
  }
  void OnRequestLimit() override { recycling_.OnRequestLimit(); }
  // Who has a master serves on: the replacement is to be ready first.
  void OnUnfit(const std::string& reason) override {
    if (!master_link_.has_value()) return Drain(absl::StrCat(reason, ": draining, to be started anew"), kExitUnfit);
    error_log_->Message(absl::StrCat(reason, ": asking to be replaced"));
    master_link_->SendUnfit(reason, /*draining=*/false);
  }
  void OnCoresEnded() override { StopHub(greenlet_hub_.get()); }

  // One after the other, then what comes next.
  void StopHub(pyhost::Hub* hub) {
    const auto go_on = [this, hub] { hub == gevent_hub_.get() ? pool_.Stop() : StopHub(gevent_hub_.get()); };
    if (hub == nullptr) return go_on();
    hub->Stop(go_on);
  }
  void OnPoolEnded() override { main_thread_->Stop(); }

  const WorkerOptions& options_;
  pyhost::WsgiHandler* const handler_;
  ErrorLog* const error_log_;
  pyhost::PythonSwitchHook switch_hook_;
  green::Scheduler scheduler_;
  ioloop::EventLoop loop_;
  CorePool cores_;
  HttpService service_;
  pyhost::GreenPool pool_;
  std::unique_ptr<pyhost::Hub> greenlet_hub_;  // null until a core needs it
  std::unique_ptr<pyhost::Hub> gevent_hub_;
  CoreEngine engine_ = CoreEngine::kUcontext;
  ThreadDumper dumper_;
  StatisticsCollector statistics_;
  RequestList requests_;
  SharedAddresses shared_addresses_;
  Recycling recycling_;
  int64_t drain_timeout_ns_;
  pyhost::MainThread* main_thread_ = nullptr;  // while serving
  pyhost::GilErrands* errands_ = nullptr;      // while serving
  Patience patience_{this};
  int exit_code_ = 0;
  bool unwinding_ = false;
  MasterStart* master_ = nullptr;
  std::optional<MasterHandler> master_handler_;
  std::optional<MasterLink> master_link_;
  UwsgiLink* uwsgi_link_ = nullptr;
  v1::FromWorker::Ready ready_;
  bool ending_ = false;
  uint64_t overflows_reported_ = 0;
  int threads_lost_ = 0;  // of engine `thread`, with their stacks
};

}  // namespace

absl::StatusOr<int> RunWorker(const WorkerOptions& options, MasterStart* master) {
  green::InstallStackOverflowHandler();
  green::StackOverflowSignalStack signal_stack;

  absl::StatusOr<std::unique_ptr<LogFile>> error_file = LogFile::Open(
      options.error_log, STDERR_FILENO, master != nullptr ? LogFile::WhenFull::kDrop : LogFile::WhenFull::kWait);
  if (!error_file.ok()) return error_file.status();
  ErrorLog error_log(error_file->get());
  std::unique_ptr<LogFile> access_file;
  std::unique_ptr<AccessLog> access_log;
  if (!options.access_log.empty()) {
    absl::StatusOr<std::unique_ptr<LogFile>> opened = LogFile::Open(options.access_log, STDOUT_FILENO);
    if (!opened.ok()) return opened.status();
    access_file = *std::move(opened);
    access_log = std::make_unique<AccessLog>(access_file.get());
  }

  absl::StatusOr<std::unique_ptr<ioloop::Uring>> ring = ioloop::Uring::Create({});
  if (!ring.ok()) return ring.status();
  // Bound before the import, which may be slow: an address in use is told at once, and early clients wait.
  absl::StatusOr<std::vector<WorkerListener>> listeners =
      master != nullptr ? AdoptListeners(master) : OpenListeners(options);
  if (!listeners.ok()) return listeners.status();
  ShutdownSignal shutdown_signal(ring->get(), /*has_terminal=*/master == nullptr);
  DumpSignal dump_signal(error_file->get());
  LastResort last_resort(kExitUnfit);

  pyhost::RegisterModule();
  WorkerUwsgiHost uwsgi_host(options, master, &error_log);
  if (options.uwsgi_api) RegisterUwsgi(options, *listeners, &uwsgi_host);
  absl::StatusOr<std::unique_ptr<pyhost::Interpreter>> interpreter =
      pyhost::Interpreter::Start({.working_directory = options.working_directory,
                                  .python_path = options.python_path,
                                  .virtualenv = options.virtualenv,
                                  .argv = {}});
  if (!interpreter.ok()) return interpreter.status();
  LeaveGilAlone(/*preempted=*/options.time_slice_ns > 0);
  pyhost::Interruptible::Start();
  posix::SetCancelAnswer({&pyhost::Interruptible::OnCancelled, &pyhost::Interruptible::IsUnheeded});
  if (options.python_threads == PythonThreads::kGreen) MakePythonThreadsGreen();
  pyhost::GreenletState::Watch();
  const absl::Status engine = CheckEngine(options.cores.engine);
  if (!engine.ok()) return engine;
  if (options.gevent_monkey_patch) {
    const absl::Status patched = pyhost::PatchForGevent();
    if (!patched.ok()) return patched;
  }
  absl::StatusOr<pyhost::Application> application = pyhost::LoadApplication(options.application);
  if (!application.ok()) return application.status();
  WarnOfLongSwitchInterval(options, &error_log);

  pyhost::UwsgiModule::AfterImport();
  pyhost::DetachGeventHub();

  pyhost::WsgiHandler handler(*std::move(application), {}, &error_log, pyhost::UwsgiModule::extension());
  std::vector<const pyhost::EnvironTemplate*> environs;
  std::vector<std::string> addresses;
  for (const WorkerListener& listener : *listeners) {
    environs.push_back(handler.AddListener(InfoOf(listener)));
    addresses.push_back(listener.Description());
  }

  Worker worker(options, ring->get(), &handler, &error_log, access_log.get());
  uwsgi_host.SetService(worker.service());
  const std::string description =
      absl::StrCat("serving ", options.application, " with engine ", std::string(CoreEngineName(options.cores.engine)),
                   ", ", options.cores.cores_max, " async cores of ", options.cores.stack_size_bytes / 1024,
                   " KiB stack, ", (*ring)->Describe());
  if (master != nullptr) {
    v1::FromWorker::Ready ready;
    ready.set_python_version(pyhost::PythonVersion());
    ready.set_description(description);
    worker.Obey(master, uwsgi_host.link(), ready);
  } else {
    Say(description);
    for (const std::string& address : addresses) Say(absl::StrCat("listening on ", address));
    Say("ready");
  }
  if (!worker.Serve(*std::move(listeners), environs, &shutdown_signal, &dump_signal)) {
    (*interpreter)->EndWithThreads();
    std::fflush(nullptr);
    _exit(worker.exit_code());
  }
  pyhost::UwsgiModule::AtExit();
  return worker.exit_code();
}

}  // namespace greenring::worker
