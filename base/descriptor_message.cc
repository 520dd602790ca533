#include "base/descriptor_message.h"

#include <cstring>

#include "base/check.h"

namespace greenring {

DescriptorMessage::DescriptorMessage(std::string_view bytes, const std::vector<int>& descriptors)
    : DescriptorMessage(const_cast<char*>(bytes.data()), bytes.size()) {
  GREENRING_CHECK(descriptors.size() <= kDescriptorsMax);
  header_.msg_controllen = 0;
  if (descriptors.empty()) return;
  const size_t size = descriptors.size() * sizeof(int);
  std::memset(control_, 0, CMSG_SPACE(size));
  header_.msg_controllen = CMSG_SPACE(size);
  cmsghdr* const rights = CMSG_FIRSTHDR(&header_);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(size);
  std::memcpy(CMSG_DATA(rights), descriptors.data(), size);
}

DescriptorMessage::DescriptorMessage(char* buffer, size_t size) : bytes_{.iov_base = buffer, .iov_len = size} {
  header_.msg_iov = &bytes_;
  header_.msg_iovlen = 1;
  header_.msg_control = control_;
  header_.msg_controllen = sizeof(control_);
}

void DescriptorMessage::Take(std::vector<UniqueFd>* out) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&header_); part != nullptr; part = CMSG_NXTHDR(&header_, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      out->emplace_back(fd);
    }
  }
  header_.msg_controllen = 0;  // they have an owner
}

}  // namespace greenring
