// One worker process: the composition of loop, cores, Python and connections, from start to drained end.
//
//   return RunWorker(options);
//
// Knows nothing of a master: it opens its own listeners and ends by a signal.
#pragma once

#include "absl/status/status.h"
#include "worker/options.h"

namespace greenring::worker {

// Serves until SIGTERM or SIGINT and a drain. The error says why it could not start; what the application's import had
// to say has gone to stderr. On the process's main thread, once.
absl::Status RunWorker(const WorkerOptions& options);

}  // namespace greenring::worker
