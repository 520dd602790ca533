#include "control/link_queue.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstring>
#include <utility>

#include "base/check.h"
#include "protocol/frame.h"

namespace greenring::control {

bool LinkQueue::Append(const worker::v1::ToWorker& message, const std::vector<SharedFd>& descriptors,
                       const std::vector<int>& borrowed) {
  GREENRING_CHECK(borrowed.size() + descriptors.size() <= kDescriptorsMax);
  Attachment attachment = {.offset = bytes_.size(), .numbers = borrowed, .kept = descriptors};
  if (!protocol::AppendFrame(&bytes_, [&](std::string* out) { return message.AppendToString(out); })) return false;
  for (const SharedFd& fd : descriptors) attachment.numbers.push_back(fd->get());
  if (!attachment.numbers.empty()) attachments_.push_back(std::move(attachment));
  return true;
}

int LinkQueue::SendTo(int fd) {
  while (!bytes_.empty()) {
    if (!SendSome(fd) && errno != EINTR) return errno;
  }
  return 0;
}

bool LinkQueue::SendSome(int fd) {
  const bool has_descriptors = !attachments_.empty() && attachments_.front().offset == 0;
  const size_t next = has_descriptors ? 1 : 0;
  const size_t size = next < attachments_.size() ? attachments_[next].offset : bytes_.size();
  iovec vector = {.iov_base = bytes_.data(), .iov_len = size};
  msghdr message = {};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(kDescriptorsMax * sizeof(int))] = {};
  if (has_descriptors) {
    const std::vector<int>& numbers = attachments_.front().numbers;
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(numbers.size() * sizeof(int));
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(numbers.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), numbers.data(), numbers.size() * sizeof(int));
  }
  const ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) return false;
  bytes_.erase(0, static_cast<size_t>(sent));
  if (has_descriptors) attachments_.pop_front();
  for (Attachment& attachment : attachments_) attachment.offset -= static_cast<size_t>(sent);
  return true;
}

void LinkQueue::Clear() {
  bytes_.clear();
  attachments_.clear();
}

}  // namespace greenring::control
