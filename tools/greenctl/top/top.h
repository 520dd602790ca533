// greenctl top.
#pragma once

#include "absl/status/status.h"
#include "tools/greenctl/session.h"

namespace greenring::greenctl {

// Until q or a signal. FAILED_PRECONDITION without a terminal; an error when the server cannot be reached at first.
absl::Status Top(Session& session);

}  // namespace greenring::greenctl
