// The composition of one worker process (loop, cores, Python and connections), and its drain: what ends in which order,
// and what is done when something does not.
//
//   Worker worker(options, ring, &handler, &error_log, access_log);
//   worker.Obey(&master, ...);                                    // if a master has started it
//   if (!worker.Serve(std::move(listeners), environs, ...)) _exit(worker.exit_code());
//
//   Drain ─> the last connection ─> the last core ─> hubs ─> functions of greenring.go() ─> Python's main thread
//         ─> dumps ─> the master is told ─> the scheduler stops
//
// A drain that takes longer than its timeout takes the connections from the cores, and kUnwindNs later the loop ends
// whatever is left.
//
// Made and used on the process's main thread; one in the process (run_worker.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "green/scheduler.h"
#include "green/timer_queue.h"
#include "greenring/worker/v1/link.pb.h"
#include "ioloop/event_loop.h"
#include "ioloop/ring.h"
#include "pyhost/environ.h"
#include "pyhost/gil.h"
#include "pyhost/green_pool.h"
#include "pyhost/main_thread.h"
#include "pyhost/wsgi_handler.h"
#include "worker/access_log.h"
#include "worker/core_engine.h"
#include "worker/core_life.h"
#include "worker/core_pool.h"
#include "worker/dump_signal.h"
#include "worker/http_service.h"
#include "worker/hubs.h"
#include "worker/listeners.h"
#include "worker/log.h"
#include "worker/master_handler.h"
#include "worker/master_link.h"
#include "worker/master_start.h"
#include "worker/options.h"
#include "worker/recycling.h"
#include "worker/request_list.h"
#include "worker/shared_addresses.h"
#include "worker/shutdown_signal.h"
#include "worker/stack_reports.h"
#include "worker/statistics_collector.h"
#include "worker/thread_dumper.h"
#include "worker/uwsgi_link.h"

namespace greenring::worker {

// The exit code of a worker that has drained itself, and has to be replaced: a request did not heed its timeout, or a
// stack overflowed so that it is lost.
inline constexpr int kExitUnfit = 3;

class Worker final : private CorePool::Runner,
                     private HttpService::Observer,
                     private pyhost::GreenPool::Observer,
                     private Recycling::Observer {
 public:
  // `access_log` may be null. Everything outlives the worker.
  Worker(const WorkerOptions& options, ioloop::Ring* ring, pyhost::WsgiHandler* handler, ErrorLog* error_log,
         AccessLog* access_log);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // From the beginning of Serve on a master asks, and is told `ready`. GIL held.
  void Obey(MasterStart* master, UwsgiLink* uwsgi_link, const v1::FromWorker::Ready& ready);

  // Serves on `listeners`, each with its environ. Returns when everything has been served, or when the drain has taken
  // too long; false: green threads are left, whose frames refer to everything here. GIL held, and given up meanwhile.
  // Blocks the OS thread.
  bool Serve(std::vector<WorkerListener> listeners, const std::vector<const pyhost::EnvironTemplate*>& environs,
             ShutdownSignal* shutdown_signal, DumpSignal* dump_signal);

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

  // And the process to end after that, before the last resort.
  static constexpr int64_t kLastResortNs = 5 * kNanosecondsPerSecond;

  void Begin(std::vector<WorkerListener> listeners, const std::vector<const pyhost::EnvironTemplate*>& environs,
             ShutdownSignal* shutdown_signal);
  void RunLoop();
  void Apply(const WorkerOptions& options, int64_t generation, int canary_percent);
  void SetEngine(CoreEngine engine);
  bool SpawnHandler(PyObject* function);
  std::string DescribeLive(size_t requests) const;
  void ReportWhatIsLeft();

  void Drain(const std::string& reason, int exit_code, int64_t timeout_ns = 0);
  void OnPatienceEnded();
  void EndLoop();

  // What is lost for good.
  void OnAbandoned(const green::GreenThread& thread);
  void OnThreadLost(const std::string& stack);

  // CorePool::Runner
  void RunCore(CorePool* pool) override { core_life_.Run(pool); }
  void OnCoreAbandoned(green::GreenThread* core, HttpExchange* exchange) override;
  void OnCoresEnded() override;
  void OnGenerationsChanged() override;

  // HttpService::Observer
  void OnDrained() override { cores_.Stop(); }
  void OnOverdue() override;
  void OnRequestLimit() override { recycling_.OnRequestLimit(); }

  // pyhost::GreenPool::Observer
  void OnPoolEnded() override { main_thread_->Stop(); }

  // Recycling::Observer
  void OnUnfit(const std::string& reason) override;

  const WorkerOptions& options_;
  ErrorLog* const error_log_;
  pyhost::PythonSwitchHook switch_hook_;
  green::Scheduler scheduler_;
  ioloop::EventLoop loop_;
  CorePool cores_;
  HttpService service_;
  pyhost::GreenPool pool_;
  Hubs hubs_;
  CoreEngine engine_ = CoreEngine::kUcontext;
  StackReports stack_reports_;
  CoreLife core_life_;
  ThreadDumper dumper_;
  StatisticsCollector statistics_;
  RequestList requests_;
  SharedAddresses shared_addresses_;
  Recycling recycling_;
  int64_t drain_timeout_ns_;
  pyhost::MainThread* main_thread_ = nullptr;  // while serving
  Patience patience_{this};
  int exit_code_ = 0;
  bool unwinding_ = false;
  bool ending_ = false;
  int threads_lost_ = 0;  // of engine `thread`, with their stacks

  // With a master.
  MasterStart* master_ = nullptr;
  std::optional<MasterHandler> master_handler_;
  std::optional<MasterLink> master_link_;
  UwsgiLink* uwsgi_link_ = nullptr;
  v1::FromWorker::Ready ready_;
};

}  // namespace greenring::worker
