#include "worker/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "ioloop/posix/interposer.h"

namespace greenring::worker {

namespace {

bool IsPipe(int fd) {
  struct stat file;
  return fstat(fd, &file) == 0 && S_ISFIFO(file.st_mode);
}

// That a write of at most PIPE_BUF bytes to a pipe does not block, as far as nobody else fills it meanwhile.
bool HasRoom(int fd) {
  pollfd writable = {.fd = fd, .events = POLLOUT, .revents = 0};
  return posix::real::poll(&writable, 1, 0) > 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<LogFile>> LogFile::Open(const std::string& path, int standard_fd, WhenFull when_full) {
  const bool drops = when_full == WhenFull::kDrop;
  if (path == "-") return std::unique_ptr<LogFile>(new LogFile(UniqueFd(), standard_fd, drops && IsPipe(standard_fd)));
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!fd.valid()) return ErrnoToStatus(errno, absl::StrCat("cannot open the log ", path));
  const int number = fd.get();
  return std::unique_ptr<LogFile>(new LogFile(std::move(fd), number, drops && IsPipe(number)));
}

void LogFile::Write(std::string_view text) {
  while (!text.empty()) {
    // Not write(2), which would park a green thread: a message is written where it is logged, in one piece.
    if (drops_ && !HasRoom(fd_)) return;
    const size_t size = drops_ ? std::min<size_t>(text.size(), PIPE_BUF) : text.size();
    const ssize_t written = posix::real::write(fd_, text.data(), size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    text.remove_prefix(static_cast<size_t>(written));
  }
}

void ErrorLog::Message(std::string_view message) {
  const time_t now_s = time(nullptr);
  tm local;
  localtime_r(&now_s, &local);
  char stamp[48];
  const size_t length = strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &local);
  std::string line(stamp, length);
  line += " [" + std::to_string(getpid()) + "] ";
  line += message;
  line += '\n';
  file_->Write(line);
}

}  // namespace greenring::worker
