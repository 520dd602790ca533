#include "control/link_queue.h"

#include <errno.h>
#include <sys/socket.h>

#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/descriptor_message.h"
#include "protocol/frame.h"

namespace greenring::control {

bool LinkQueue::Append(const worker::v1::ToWorker& message, const std::vector<SharedFd>& descriptors,
                       const std::vector<int>& borrowed) {
  GREENRING_CHECK(borrowed.size() + descriptors.size() <= DescriptorMessage::kDescriptorsMax);
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
  DescriptorMessage message(std::string_view(bytes_).substr(0, size),
                            has_descriptors ? attachments_.front().numbers : std::vector<int>());
  const ssize_t sent = sendmsg(fd, message.header(), MSG_NOSIGNAL | MSG_DONTWAIT);
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
