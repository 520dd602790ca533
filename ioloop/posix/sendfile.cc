#include <errno.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "ioloop/posix/blocking_call.h"
#include "ioloop/posix/parking.h"

namespace greenring::posix::parking {
namespace {

// What lies between the file and the socket.
constexpr size_t kCopySizeMax = 64 * 1024;
// As the kernel: so many bytes a call at most.
constexpr size_t kSendfileSizeMax = 0x7ffff000;

struct Free {
  void operator()(char* memory) const { std::free(memory); }
};

// Bytes sent, or -1 and errno if that is none.
ssize_t CopyToSocket(int out, int in, off_t offset, size_t size) {
  const std::unique_ptr<char, Free> buffer(static_cast<char*>(std::malloc(std::min(size, kCopySizeMax))));
  if (buffer == nullptr) return ReturnOrFail(-ENOMEM);
  size_t total = 0;
  while (total < size) {
    const size_t wanted = std::min(size - total, kCopySizeMax);
    const ssize_t read = parking::pread(in, buffer.get(), wanted, offset + static_cast<off_t>(total));
    if (read == 0) break;
    const ssize_t sent = read < 0 ? -1 : parking::send(out, buffer.get(), static_cast<size_t>(read), 0);
    if (sent < 0) return total > 0 ? static_cast<ssize_t>(total) : -1;
    total += static_cast<size_t>(sent);
    if (sent < read) break;
  }
  return static_cast<ssize_t>(total);
}

}  // namespace

ssize_t sendfile(int out, int in, off_t* offset, size_t size) {
  struct stat out_status, in_status;
  const bool copies = fstat(out, &out_status) == 0 && S_ISSOCK(out_status.st_mode) && fstat(in, &in_status) == 0 &&
                      S_ISREG(in_status.st_mode) && !IsNonBlocking(out);
  // To a file: as fast as its disk. From anything but a file: what was read could not be put back if sending failed.
  if (!copies) return real::sendfile(out, in, offset, size);
  const off_t begin = offset != nullptr ? *offset : lseek(in, 0, SEEK_CUR);
  const ssize_t sent = CopyToSocket(out, in, begin, std::min(size, kSendfileSizeMax));
  if (sent <= 0) return sent;
  if (offset != nullptr) {
    *offset = begin + sent;
  } else {
    lseek(in, begin + sent, SEEK_SET);
  }
  return sent;
}

}  // namespace greenring::posix::parking
