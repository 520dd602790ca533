// Whose connection a socket is.
//
//   pyhost::PeerAddress peer = PeerOf(fd);
//
// One system call. Any thread. Never parks.
#pragma once

#include "pyhost/exchange.h"

namespace greenring::worker {

// Empty where the client is gone already; an IPv4 client on a socket for both families is shown as what it is.
pyhost::PeerAddress PeerOf(int fd);

}  // namespace greenring::worker
