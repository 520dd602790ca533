// Real worker processes behind WorkerHandle: spawned from this executable, watched through a pidfd.
//
//   std::unique_ptr<WorkerFactory> workers = MakeWorkerFactory(reactor.context());
//   absl::StatusOr<std::unique_ptr<WorkerHandle>> worker = workers->Start({start, sockets, cpus}, &observer);
//
// To the contract (worker_handle.h) this adds: what a worker has said before it ended is told before OnEnded, and what
// it has written to its stderr is in WorkerEnd. The reason of an exit has what the worker said of it (Unfit). A refusal
// is an answer: FromWorker with `refused`. An Ask fails at once, with UNAVAILABLE, while more than
// kWorkerBacklogBytesMax wait for a worker that does not read. A handle that is deleted calls nobody any more, neither
// observer nor `done`.
//
// Workers die with the thread that has started them (PR_SET_PDEATHSIG): the reactor's is the master's main thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "control/worker_handle.h"

namespace boost::asio {
class io_context;
}

namespace greenring::control {

struct WorkerFactoryOptions {
  // The file that this process runs, also when another one has been put in its place since.
  std::string executable = "/proc/self/exe";
  std::vector<std::string> arguments = {"--worker"};
  int stderr_fd = 2;  // where the workers' stderr is copied to
};

// `context` is a Reactor's, which the factory does not outlive. SIGCHLD gets its default disposition: were it ignored,
// nobody would learn how a worker ended. On the reactor's thread, or before it runs.
std::unique_ptr<WorkerFactory> MakeWorkerFactory(boost::asio::io_context* context,
                                                 const WorkerFactoryOptions& options = {});

inline constexpr size_t kWorkerBacklogBytesMax = 1 << 20;

}  // namespace greenring::control
