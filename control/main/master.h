// The master process: everything of the control plane, put together, from its start to its drained end.
//
//   return RunMaster({.configuration = line.configuration, .reread = [=] { return ParseAgain(); }});
//
// On the process's main thread, once: workers die with it (worker_process.h). It never runs Python, and never forks.
//
// Signals: SIGTERM and SIGINT drain all pools and end; the second one ends at once, as SIGQUIT does. SIGHUP reads the
// configuration again and reloads all pools. SIGTTIN and SIGTTOU add and remove a worker of each pool. SIGUSR1 dumps
// every worker's green threads.
#pragma once

#include <functional>

#include "absl/status/statusor.h"
#include "greenring/control/v1/config.pb.h"

namespace greenring::control {

struct MasterOptions {
  v1::Configuration configuration;  // checked, and every default filled in
  // The configuration as it is now, for SIGHUP. Null: it cannot change.
  std::function<absl::StatusOr<v1::Configuration>()> reread;
};

// What RunMaster returns, and the process exits with.
inline constexpr int kMasterExitDrained = 0;
inline constexpr int kMasterExitFailed = 1;         // it could not start; or ended at once, with requests in flight
inline constexpr int kMasterExitConfiguration = 2;  // what it was told makes no sense

// Serves until a signal says otherwise. What goes wrong is said on stderr. A server of one pool whose application
// cannot be imported at its start says why, and ends; once it has served it stays, and tries again.
int RunMaster(const MasterOptions& options);

}  // namespace greenring::control
