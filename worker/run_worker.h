// One worker process from start to drained end.
//
//   absl::StatusOr<int> exit_code = RunWorker(options);              // alone
//   absl::StatusOr<int> exit_code = RunWorker(options, &begin);      // for a master (master_start.h)
//
// Alone it opens its own listeners, and ends by a signal. For a master it serves on the sockets that it is given, and
// does what it is asked. It ends by itself when a request that has timed out cannot be ended otherwise.
#pragma once

#include "absl/status/statusor.h"
#include "worker/master_start.h"
#include "worker/options.h"

namespace greenring::worker {

// Serves until a drain, and returns the exit code: 0 if the drain was asked for by SIGTERM, SIGINT or the master, else
// kExitUnfit (worker.h). The error says why it could not start; what the application's import had to say has gone to
// stderr, and is the status's payload pyhost::kTracebackPayload. Takes link and sockets out of `master`, the link only
// when nothing can fail any more. On the process's main thread, once.
absl::StatusOr<int> RunWorker(const WorkerOptions& options, MasterStart* master = nullptr);

}  // namespace greenring::worker
