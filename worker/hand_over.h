// One connection on its way from a worker to another pool's workers: a datagram on the SOCK_SEQPACKET socket of that
// pool (proto/greenring/worker/v1/hand_over.proto).
//
//   SendConnection(inbox, {.address = "127.0.0.1:80", .received = "GET / ...", .fd = std::move(fd)});
//   absl::StatusOr<HandedConnection> connection = ReceiveConnection(inbox);
//
// Neither side waits. What does not fit into a datagram is put into a file in memory. In any context of the loop's
// thread; never parks.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace greenring::worker {

struct HandedConnection {
  std::string address;   // of the listening socket that it came in on
  std::string received;  // from the first byte of the request that is the receiver's
  UniqueFd fd;
};

// Received bytes that go into the datagram; more go into a file.
inline constexpr size_t kInlineBytesMax = 32 * 1024;

// And at most altogether: far beyond what a connection ever holds.
inline constexpr size_t kHandedBytesMax = 16 << 20;

// RESOURCE_EXHAUSTED: as many wait there as the kernel lets wait. UNAVAILABLE: nobody has its other end. After an error
// the connection is still the caller's; else the receiver has a copy of the descriptor, and the caller closes its own.
absl::Status SendConnection(int inbox, const HandedConnection& connection);

// The next one. UNAVAILABLE: none waits. OUT_OF_RANGE: nobody can send any more (or an empty datagram was sent, which
// looks the same). INVALID_ARGUMENT: it was not one, and is gone. RESOURCE_EXHAUSTED: it is lost, because this process
// may not have more descriptors. No descriptor is left open in any case.
absl::StatusOr<HandedConnection> ReceiveConnection(int inbox);

}  // namespace greenring::worker
