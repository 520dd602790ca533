// Descriptors that come with a message on a unix socket (SCM_RIGHTS).
//
//   DescriptorRoom room;
//   msghdr message = {};
//   room.Prepare(&message);
//   recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
//   TakeDescriptors(&message, &descriptors);      // also when the message is of no use: else they stay open for good
//
// A message with MSG_CTRUNC has lost some. Any thread. Never parks.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <vector>

#include "base/unique_fd.h"
#include "greenring/worker/v1/link.pb.h"

namespace greenring::worker {

// What the kernel takes with one message (SCM_MAX_FD).
inline constexpr size_t kDescriptorsMax = 253;

// Where the kernel puts as many as it may send.
class DescriptorRoom {
 public:
  // Makes this the room for `message`'s control data; lives until it has been received.
  void Prepare(msghdr* message) {
    message->msg_control = bytes_;
    message->msg_controllen = sizeof(bytes_);
  }

 private:
  alignas(cmsghdr) char bytes_[CMSG_SPACE(kDescriptorsMax * sizeof(int))];
};

// How many come with `routes` (link.proto).
inline size_t DescriptorsOf(const v1::ToWorker::Routes& routes) {
  return static_cast<size_t>(routes.has_inbox() ? 1 : 0) + static_cast<size_t>(routes.pools_size());
}

// Takes the first `count` out of `descriptors`, which has so many.
std::vector<UniqueFd> TakeFirst(std::vector<UniqueFd>* descriptors, size_t count);

// Appends those that came with `message`, in their order.
void TakeDescriptors(msghdr* message, std::vector<UniqueFd>* out);

}  // namespace greenring::worker
