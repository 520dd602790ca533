// What a file descriptor is, in words: for dumps and logs.
//
//   FdName(12)        "tcp 127.0.0.1:40312 > 127.0.0.1:5432", "pipe:[4711]", "/var/log/shop.log", "closed"
//
// Two or three system calls that do not wait. Thread-safe. Never parks.
#pragma once

#include <string>

namespace greenring {

std::string FdName(int fd);

// Who is at its other end: "127.0.0.1:5432", "unix:/run/db.sock", "unix" (a socket without a name); "pipe"; the path of
// a file; else as FdName.
std::string PeerName(int fd);

}  // namespace greenring
