// A message on a unix socket that descriptors travel with (SCM_RIGHTS), to be sent or received in one call.
//
//   DescriptorMessage message(bytes, {fd});                       // fd is open until it was sent
//   sendmsg(socket, message.header(), MSG_NOSIGNAL);
//
//   DescriptorMessage message(buffer, sizeof(buffer));
//   ssize_t received = recvmsg(socket, message.header(), MSG_CMSG_CLOEXEC);
//   message.Take(&descriptors);        // also when the bytes are of no use: else they stay open for good
//   if (message.lost_descriptors()) ...
//
// Refers to bytes that are the caller's; a kilobyte in size. Not thread-safe. Never parks.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"

namespace greenring {

class DescriptorMessage {
 public:
  // What the kernel takes with one message (SCM_MAX_FD).
  static constexpr size_t kDescriptorsMax = 253;

  // To be sent: with at most kDescriptorsMax (checked), or none. A stream carries them only beside a byte at least.
  DescriptorMessage(std::string_view bytes, const std::vector<int>& descriptors);

  // To be received: at most `size` bytes, and as many descriptors as may be sent.
  DescriptorMessage(char* buffer, size_t size);

  DescriptorMessage(const DescriptorMessage&) = delete;
  DescriptorMessage& operator=(const DescriptorMessage&) = delete;

  // For sendmsg and recvmsg.
  msghdr* header() { return &header_; }

  // Once, after it was received: appends the descriptors that came, in their order.
  void Take(std::vector<UniqueFd>* out);

  // After it was received: the process may not have so many descriptors, or a datagram was longer than the buffer.
  bool lost_descriptors() const { return (header_.msg_flags & MSG_CTRUNC) != 0; }
  bool lost_bytes() const { return (header_.msg_flags & MSG_TRUNC) != 0; }

 private:
  iovec bytes_;
  msghdr header_ = {};
  alignas(cmsghdr) char control_[CMSG_SPACE(kDescriptorsMax * sizeof(int))];
};

}  // namespace greenring
