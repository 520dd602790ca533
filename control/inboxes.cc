#include "control/inboxes.h"

#include <errno.h>
#include <sys/socket.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"

namespace greenring::control {

absl::Status Inboxes::Make(const std::string& pool) {
  if (inboxes_.contains(pool)) return absl::OkStatus();
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return ErrnoToStatus(errno,
                         absl::StrCat("make the socket by which other pools' workers hand connections to ", pool));
  }
  inboxes_[pool] = {.receiving = std::make_shared<const UniqueFd>(ends[0]),
                    .sending = std::make_shared<const UniqueFd>(ends[1])};
  // Of the sender: a unix socket's messages are on its account until they are received. As much as is possible.
  if (setsockopt(ends[1], SOL_SOCKET, SO_SNDBUFFORCE, &kBytesMax, sizeof(kBytesMax)) != 0) {
    setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &kBytesMax, sizeof(kBytesMax));
  }
  return absl::OkStatus();
}

const Inboxes::Inbox* Inboxes::Find(const std::string& pool) const {
  const auto found = inboxes_.find(pool);
  return found == inboxes_.end() ? nullptr : &found->second;
}

}  // namespace greenring::control
