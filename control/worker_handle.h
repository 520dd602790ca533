// One worker process as the supervisor sees it: the seam behind which there is a real process (worker_process.h) or a
// test's. On the reactor's thread only; nothing blocks.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "greenring/worker/v1/link.pb.h"

namespace greenring::control {

// A descriptor that travels to workers, perhaps only when they read: whoever holds it keeps it open.
using SharedFd = std::shared_ptr<const UniqueFd>;

// Routes, with the descriptors that they say.
struct WorkerRoutes {
  worker::v1::ToWorker::Routes message;
  std::vector<SharedFd> descriptors;
};

// How a process ended.
struct WorkerEnd {
  int wait_status = 0;      // waitpid(2)
  std::string reason;       // "signal 9 (Killed)", "exit status 1"
  std::string last_stderr;  // its last lines there, at most 8 KiB; empty when it ended with 0
};

class WorkerHandle {
 public:
  // Called on the reactor's thread, never from within a call of the handle. The last call is OnEnded, once; then the
  // handle may be deleted, in it too.
  class Observer {
   public:
    virtual void OnReady(const worker::v1::FromWorker::Ready& ready) = 0;
    virtual void OnStartFailed(const worker::v1::FromWorker::StartFailed& failed) = 0;
    virtual void OnObserved(const worker::v1::FromWorker::Observed& observed) = 0;
    virtual void OnReport(const worker::v1::FromWorker::Report& report) = 0;
    virtual void OnUnfit(const worker::v1::FromWorker::Unfit& unfit) = 0;
    virtual void OnDraining(const worker::v1::FromWorker::Draining& draining) = 0;
    // To be answered with Tell: `id` is the answer's answer_to.
    virtual void OnUwsgiCall(int64_t id, const worker::v1::UwsgiCall& call) = 0;
    virtual void OnEnded(const WorkerEnd& end) = 0;

   protected:
    ~Observer() = default;
  };

  // A process that still runs is killed.
  virtual ~WorkerHandle() = default;

  virtual int pid() const = 0;

  // Sends `message` (its id is filled in), and calls `done` with the answer; DEADLINE_EXCEEDED after `timeout_ns`,
  // UNAVAILABLE when the worker ends first. `done` may be null.
  virtual void Ask(worker::v1::ToWorker message, int64_t timeout_ns,
                   std::function<void(absl::StatusOr<worker::v1::FromWorker>)> done) = 0;

  // Sends `message`, to which there is no answer (Drain, Dump, Routes, UwsgiAnswer), and `descriptors` with it.
  virtual void Tell(worker::v1::ToWorker message, std::vector<SharedFd> descriptors) = 0;

  // SIGKILL.
  virtual void Kill() = 0;
};

struct WorkerStart {
  worker::v1::ToWorker::Start start;
  std::vector<int> sockets;      // the descriptors for start.sockets; they stay the caller's
  std::vector<SharedFd> routes;  // those for start.routes
  std::vector<int> cpus;         // to be pinned to; empty: where the server may run
};

class WorkerFactory {
 public:
  virtual ~WorkerFactory() = default;

  // Starts a process. The error says why there is none (no memory, too many processes).
  virtual absl::StatusOr<std::unique_ptr<WorkerHandle>> Start(const WorkerStart& start,
                                                              WorkerHandle::Observer* observer) = 0;
};

}  // namespace greenring::control
