// One worker process: the composition of loop, cores, Python and connections, from start to drained end.
//
//   absl::StatusOr<int> exit_code = RunWorker(options);
//
// Knows nothing of a master: it opens its own listeners. It ends by a signal; or by itself, when a request that has
// timed out cannot be ended otherwise.
#pragma once

#include "absl/status/statusor.h"
#include "worker/options.h"

namespace greenring::worker {

// The exit code of a worker that has drained itself, and has to be replaced: a request did not heed its timeout, or a
// stack overflowed so that it is lost.
inline constexpr int kExitUnfit = 3;

// Serves until a drain, and returns the exit code: 0 if the drain was asked for by SIGTERM or SIGINT, else kExitUnfit.
// The error says why it could not start; what the application's import had to say has gone to stderr. On the process's
// main thread, once.
absl::StatusOr<int> RunWorker(const WorkerOptions& options);

}  // namespace greenring::worker
