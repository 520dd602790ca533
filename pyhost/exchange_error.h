// What Python code is told when a call of Exchange has failed.
//
//   if (!received.ok()) { RaiseExchangeError(received.status()); return nullptr; }
#pragma once

#include "absl/status/status.h"

namespace greenring::pyhost {

// If the wait was cancelled for an exception that is posted for this green thread, that one is raised; else an OSError:
// ConnectionResetError when the client is gone. On the green thread that made the call, GIL held. Never parks.
void RaiseExchangeError(const absl::Status& status);

}  // namespace greenring::pyhost
