// The unix socket of the API: whom the kernel names as its peer is let in, or is not.
//
//   auto listener = UnixListener::Listen("/run/greenring.sock", &reactor, getuid(), &observer);
//
// The file has mode 600, and is removed at the end if it is still the one that was made. One that a server has left
// behind is replaced; one that a server listens on is not. On the reactor's thread only. Listen waits up to a second
// for another server that is starting at the same path; nothing else blocks.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "control/reactor.h"

namespace greenring::control {

// SO_PEERCRED: who called connect(2), as it was then.
struct PeerCredentials {
  uid_t uid = 0;
  pid_t pid = 0;
};

// The user that the server runs as, and root.
bool MayConnect(const PeerCredentials& peer, uid_t server_uid);

class UnixListener {
 public:
  class Observer {
   public:
    // A connection of somebody who may connect; non-blocking.
    virtual void OnConnection(UniqueFd connection, const PeerCredentials& peer) = 0;
    // One of somebody who may not; it is closed already.
    virtual void OnRefused(const PeerCredentials& peer) = 0;
    // None can be accepted for a moment; it is tried again.
    virtual void OnTrouble(const absl::Status& status) = 0;

   protected:
    ~Observer() = default;
  };

  // Errors, in words: ALREADY_EXISTS when another server has it (with its pid), NOT_FOUND for a directory that is not
  // there, INVALID_ARGUMENT for a path that is too long or is another file's.
  static absl::StatusOr<std::unique_ptr<UnixListener>> Listen(const std::string& path, Reactor* reactor,
                                                              uid_t server_uid, Observer* observer);
  virtual ~UnixListener() = default;
};

}  // namespace greenring::control
