// Where workers put connections for another pool (hand_over.proto): one SOCK_SEQPACKET socketpair for each pool that
// shares an address. All workers of the pool take from its receiving end, whoever of them comes first; all workers of
// the others have the sending end.
//
//   Inboxes inboxes;
//   if (absl::Status status = inboxes.Make("pools/web"); !status.ok()) return status;
//   inboxes.Find("pools/web")->sending                    // travels to the workers of other pools
//
// They belong to the master, so what waits in one outlives every worker. On the reactor's thread only; never blocks.
#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"
#include "control/worker_handle.h"

namespace greenring::control {

class Inboxes {
 public:
  // What may wait in one, of all senders together: heads of requests, about 1 KiB each in the kernel's account. Without
  // CAP_NET_ADMIN net.core.wmem_max limits it, too.
  static constexpr int kBytesMax = 8 << 20;

  struct Inbox {
    SharedFd receiving;
    SharedFd sending;
  };

  // That `pool` has one. The error says why there is none (too many open files).
  absl::Status Make(const std::string& pool);

  // Null: it has none.
  const Inbox* Find(const std::string& pool) const;

  // The pool has gone. What waits is closed with the last copy.
  void Close(const std::string& pool) { inboxes_.erase(pool); }

 private:
  std::map<std::string, Inbox> inboxes_;
};

}  // namespace greenring::control
