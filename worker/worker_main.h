// What the server's main() (server.cc) does as a worker: on its own, or for a master.
//
// Each returns the process's exit code: 0 after a drain, 1 when it could not serve, 2 for wrong flags, 3 after a drain
// that it began by itself. On the main thread, once.
#pragma once

#include "greenring/control/v1/pool.pb.h"

namespace greenring::worker {

// One process that serves `pool` by itself; every default is filled in. It opens its listeners itself; how many workers
// there are, and where they run, is a master's business.
int RunAlone(const control::v1::Pool& pool);

// A worker whose master has made descriptor 3 (kLinkFd) its end of the link. Says on it why it cannot serve.
int RunUnderMaster();

}  // namespace greenring::worker
