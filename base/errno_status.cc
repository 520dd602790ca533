#include "base/errno_status.h"

#include <cstring>
#include <string>

namespace greenring {

absl::Status ErrnoToStatus(int error_number, std::string_view operation, int fd) {
  std::string text(operation);
  if (fd >= 0) text += " on fd " + std::to_string(fd);
  return absl::ErrnoToStatus(error_number, text);
}

}  // namespace greenring
