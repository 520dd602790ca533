// The one place where errno becomes an absl::Status.
//
//   if (listen(fd, backlog) < 0) return ErrnoToStatus(errno, "listen", fd);   // "listen on fd 7: Address in use"
//
// The code follows absl::ErrnoToStatusCode. Thread-safe. Never parks.
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace greenring {

// `error_number` is positive, as errno is; `fd` < 0 leaves the descriptor out of the text.
absl::Status ErrnoToStatus(int error_number, std::string_view operation, int fd = -1);

}  // namespace greenring
