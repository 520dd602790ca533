// The program by which the kernel chooses a socket of a SO_REUSEPORT group for a new connection (socket(7),
// SO_ATTACH_REUSEPORT_CBPF): one of some of them, each as likely as the others.
//
//   AttachSpreadProgram(fd, {0, 2}, 3);        // not the second one any more
//
// Thread-safe. Never blocks.
#pragma once

#include <linux/filter.h>

#include <cstddef>
#include <vector>

#include "absl/status/status.h"

namespace greenring::control {

// A classic BPF program is at most 4096 instructions long: two for each socket.
inline constexpr size_t kSpreadPlacesMax = 2000;

// Chooses one of `places`, indices into the group in the order in which its sockets began to listen. Not empty.
std::vector<sock_filter> SpreadProgram(const std::vector<int>& places);

// For the group of `fd`, which has `group_size` sockets; what was attached before is replaced. A group of one needs
// none.
absl::Status AttachSpreadProgram(int fd, const std::vector<int>& places, size_t group_size);

}  // namespace greenring::control
