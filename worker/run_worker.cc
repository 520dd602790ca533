#include "worker/run_worker.h"

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/os_thread.h"
#include "green/stack_overflow.h"
#include "greenring/worker/v1/link.pb.h"
#include "ioloop/posix/blocking_call.h"
#include "ioloop/posix/interposer.h"
#include "ioloop/posix/threads.h"
#include "ioloop/uring.h"
#include "pyhost/application.h"
#include "pyhost/environ.h"
#include "pyhost/gil.h"
#include "pyhost/gil_waits.h"
#include "pyhost/greenlet_state.h"
#include "pyhost/hub.h"
#include "pyhost/interpreter.h"
#include "pyhost/interrupt.h"
#include "pyhost/main_thread.h"
#include "pyhost/module/module.h"
#include "pyhost/preemption.h"
#include "pyhost/uwsgi/module.h"
#include "pyhost/wsgi_handler.h"
#include "worker/access_log.h"
#include "worker/core_engine.h"
#include "worker/dump_signal.h"
#include "worker/hub_core.h"
#include "worker/last_resort.h"
#include "worker/listeners.h"
#include "worker/log.h"
#include "worker/shutdown_signal.h"
#include "worker/uwsgi_host.h"
#include "worker/worker.h"

namespace greenring::worker {
namespace {

struct Logs {
  std::unique_ptr<LogFile> error_file;
  std::unique_ptr<ErrorLog> errors;
  std::unique_ptr<LogFile> access_file;  // null: there is none
  std::unique_ptr<AccessLog> accesses;
};

absl::StatusOr<Logs> OpenLogs(const WorkerOptions& options, LogFile::WhenFull when_full) {
  Logs logs;
  absl::StatusOr<std::unique_ptr<LogFile>> error_file = LogFile::Open(options.error_log, STDERR_FILENO, when_full);
  if (!error_file.ok()) return error_file.status();
  logs.error_file = *std::move(error_file);
  logs.errors = std::make_unique<ErrorLog>(logs.error_file.get());
  if (options.access_log.empty()) return logs;
  absl::StatusOr<std::unique_ptr<LogFile>> access_file = LogFile::Open(options.access_log, STDOUT_FILENO);
  if (!access_file.ok()) return access_file.status();
  logs.access_file = *std::move(access_file);
  logs.accesses = std::make_unique<AccessLog>(logs.access_file.get());
  return logs;
}

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

// For the application, if it is to have the module: what that is told here, beside what `host` tells.
void RegisterUwsgi(const WorkerOptions& options, const std::vector<WorkerListener>& listeners, WorkerUwsgiHost* host) {
  std::vector<int> sockets;
  for (const WorkerListener& listener : listeners) sockets.push_back(listener.socket->fd());
  pyhost::RegisterUwsgiModule(host, {.options = options.uwsgi_options, .sockets = std::move(sockets)});
}

absl::StatusOr<std::unique_ptr<pyhost::Interpreter>> StartInterpreter(const WorkerOptions& options) {
  return pyhost::Interpreter::Start({.working_directory = options.working_directory,
                                     .python_path = options.python_path,
                                     .virtualenv = options.virtualenv,
                                     .argv = {}});
}

// Everything that has to be as requests will find it before the application's own code runs; then that. GIL held.
absl::StatusOr<pyhost::Application> ImportApplication(const WorkerOptions& options, ErrorLog* error_log) {
  LeaveGilAlone(/*preempted=*/options.time_slice_ns > 0);
  pyhost::Interruptible::Start();
  posix::SetCancelAnswer({&pyhost::Interruptible::OnCancelled, &pyhost::Interruptible::IsUnheeded});
  if (options.python_threads == PythonThreads::kGreen) MakePythonThreadsGreen();
  pyhost::GreenletState::Watch();
  if (absl::Status engine = CheckEngine(options.cores.engine); !engine.ok()) return engine;
  if (options.gevent_monkey_patch) {
    if (absl::Status patched = pyhost::PatchForGevent(); !patched.ok()) return patched;
  }
  absl::StatusOr<pyhost::Application> application = pyhost::LoadApplication(options.application);
  if (!application.ok()) return application.status();
  WarnOfLongSwitchInterval(options, error_log);
  pyhost::UwsgiModule::AfterImport();
  pyhost::DetachGeventHub();
  return application;
}

// What is said to whoever started the server, apart from the error log.
void Say(const std::string& text) { std::fprintf(stderr, "greenring: %s\n", text.c_str()); }

void SayReady(const std::string& description, const std::vector<WorkerListener>& listeners) {
  Say(description);
  for (const WorkerListener& listener : listeners) Say(absl::StrCat("listening on ", listener.Description()));
  Say("ready");
}

std::string Describe(const WorkerOptions& options, const ioloop::Uring& ring) {
  return absl::StrCat("serving ", options.application, " with engine ",
                      std::string(CoreEngineName(options.cores.engine)), ", ", options.cores.cores_max,
                      " async cores of ", options.cores.stack_size_bytes / 1024, " KiB stack, ", ring.Describe());
}

v1::FromWorker::Ready ReadyMessage(const std::string& description) {
  v1::FromWorker::Ready ready;
  ready.set_python_version(pyhost::PythonVersion());
  ready.set_description(description);
  return ready;
}

}  // namespace

absl::StatusOr<int> RunWorker(const WorkerOptions& options, MasterStart* master) {
  green::InstallStackOverflowHandler();
  green::StackOverflowSignalStack signal_stack;

  const absl::StatusOr<Logs> logs =
      OpenLogs(options, master != nullptr ? LogFile::WhenFull::kDrop : LogFile::WhenFull::kWait);
  if (!logs.ok()) return logs.status();
  absl::StatusOr<std::unique_ptr<ioloop::Uring>> ring = ioloop::Uring::Create({});
  if (!ring.ok()) return ring.status();
  // Bound before the import, which may be slow: an address in use is told at once, and early clients wait.
  absl::StatusOr<std::vector<WorkerListener>> listeners =
      master != nullptr ? AdoptListeners(master) : OpenListeners(options);
  if (!listeners.ok()) return listeners.status();
  ShutdownSignal shutdown_signal(ring->get(), /*has_terminal=*/master == nullptr);
  DumpSignal dump_signal(logs->error_file.get());
  LastResort last_resort(kExitUnfit);

  pyhost::RegisterModule();
  WorkerUwsgiHost uwsgi_host(options, master, logs->errors.get());
  if (options.uwsgi_api) RegisterUwsgi(options, *listeners, &uwsgi_host);
  const absl::StatusOr<std::unique_ptr<pyhost::Interpreter>> interpreter = StartInterpreter(options);
  if (!interpreter.ok()) return interpreter.status();
  absl::StatusOr<pyhost::Application> application = ImportApplication(options, logs->errors.get());
  if (!application.ok()) return application.status();

  pyhost::WsgiHandler handler(*std::move(application), {}, logs->errors.get(), pyhost::UwsgiModule::extension());
  std::vector<const pyhost::EnvironTemplate*> environs;
  for (const WorkerListener& listener : *listeners) environs.push_back(handler.AddListener(InfoOf(listener)));

  Worker worker(options, ring->get(), &handler, logs->errors.get(), logs->accesses.get());
  uwsgi_host.SetService(worker.service());
  const std::string description = Describe(options, **ring);
  if (master != nullptr) {
    worker.Obey(master, uwsgi_host.link(), ReadyMessage(description));
  } else {
    SayReady(description, *listeners);
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
