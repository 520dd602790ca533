#include "worker/descriptors.h"

#include <cstddef>
#include <cstring>
#include <iterator>

namespace greenring::worker {

std::vector<UniqueFd> TakeFirst(std::vector<UniqueFd>* descriptors, size_t count) {
  const auto end = descriptors->begin() + static_cast<std::ptrdiff_t>(count);
  std::vector<UniqueFd> taken(std::make_move_iterator(descriptors->begin()), std::make_move_iterator(end));
  descriptors->erase(descriptors->begin(), end);
  return taken;
}

void TakeDescriptors(msghdr* message, std::vector<UniqueFd>* out) {
  for (cmsghdr* header = CMSG_FIRSTHDR(message); header != nullptr; header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      out->emplace_back(fd);
    }
  }
}

}  // namespace greenring::worker
