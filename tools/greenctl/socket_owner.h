// Whose server is behind a unix socket: asked before anything is sent to it. In /tmp, where a server that was told
// nothing may have its socket, anybody can make one of any name and wait for who comes.
//
// A socket is good if it is this user's or root's. Root may use everybody's. Thread-safe.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"

namespace greenring::greenctl {

// Whether `self` uses what is `owner`'s.
bool MayUse(uid_t owner, uid_t self);

// By its file, and what that points to. OK, too, when there is none: a call will tell. kExitRefused, and what to do,
// else. Never blocks.
absl::Status CheckSocketFile(const std::string& path, uid_t self);

// By the process that listens, as far as it can be connected to now.
absl::Status CheckListener(const std::string& path, uid_t self);

// The errno of a connection to the socket; 0 when it was made: then `*listener` is the user of who listens.
int TryToConnect(const std::string& path, uid_t* listener);

// What CheckSocketFile says of a socket of `owner`'s.
absl::Status NotForThisUser(const std::string& path, uid_t owner);

}  // namespace greenring::greenctl
