#include "control/stderr_relay.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"

namespace greenring::control {
namespace {

constexpr size_t kReadBytes = 16 * 1024;

bool TakesSomething(int fd) {
  pollfd writable = {.fd = fd, .events = POLLOUT, .revents = 0};
  return poll(&writable, 1, 0) > 0;
}

}  // namespace

// ---- LineSink ------------------------------------------------------------------------------------------------------

void LineSink::Write(std::string_view lines) {
  Flush();
  if (pending_.size() + lines.size() > kPendingBytesMax) {
    lost_bytes_ += lines.size();
    return;
  }
  pending_ += lines;
  Flush();
}

void LineSink::Flush() {
  size_t written = 0;
  // So much goes into a pipe at once when there is room at all: no write waits for the reader.
  while (written < pending_.size() && TakesSomething(fd_)) {
    const ssize_t result = write(fd_, pending_.data() + written, std::min<size_t>(pending_.size() - written, PIPE_BUF));
    if (result > 0) {
      written += static_cast<size_t>(result);
    } else if (result == 0 || errno != EINTR) {
      written = pending_.size();  // nobody will ever read it
    }
  }
  pending_.erase(0, written);
  if (!pending_.empty() || lost_bytes_ == 0) return;
  pending_ =
      absl::StrCat("greenring: ", lost_bytes_, " bytes of the workers' messages are lost: stderr took nothing\n");
  lost_bytes_ = 0;
}

// ---- StderrRelay ---------------------------------------------------------------------------------------------------

absl::StatusOr<std::shared_ptr<StderrRelay>> StderrRelay::Open(boost::asio::io_context* context,
                                                               std::shared_ptr<LineSink> sink, UniqueFd* write_end) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoToStatus(errno, "make a pipe for a worker's stderr");
  UniqueFd read_end(ends[0]);
  write_end->Reset(ends[1]);
  fcntl(read_end.get(), F_SETPIPE_SZ, kPipeBytes);
  fcntl(read_end.get(), F_SETFL, O_NONBLOCK);  // of this end only
  std::shared_ptr<StderrRelay> relay(new StderrRelay(context, std::move(sink), std::move(read_end)));
  relay->Wait();
  return relay;
}

void StderrRelay::Wait() {
  pipe_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                   [self = shared_from_this()](const boost::system::error_code& error) {
                     if (error) return;
                     if (self->Read()) return self->Wait();
                     self->ReadNow();
                     self->pipe_.close();
                   });
}

bool StderrRelay::Read() {
  char buffer[kReadBytes];
  const ssize_t size = read(pipe_.native_handle(), buffer, sizeof(buffer));
  if (size > 0) Take({buffer, static_cast<size_t>(size)});
  return size > 0 || (size < 0 && (errno == EAGAIN || errno == EINTR));
}

void StderrRelay::ReadNow() {
  char buffer[kReadBytes];
  ssize_t size;
  // A program that outlives the worker may write all the time: not more than was in the pipe.
  for (int left = kPipeBytes; pipe_.is_open() && left > 0; left -= static_cast<int>(size)) {
    size = read(pipe_.native_handle(), buffer, sizeof(buffer));
    if (size <= 0) break;
    Take({buffer, static_cast<size_t>(size)});
  }
  if (line_.empty()) return;
  sink_->Write(absl::StrCat(line_, "\n"));
  line_.clear();
}

void StderrRelay::Take(std::string_view text) {
  tail_ += text;
  if (tail_.size() > 2 * kTailBytes) tail_.erase(0, tail_.size() - 2 * kTailBytes);
  const size_t end = text.rfind('\n');
  if (end == std::string_view::npos && line_.size() + text.size() <= kLineBytesMax) {
    line_ += text;
    return;
  }
  const size_t whole = end == std::string_view::npos ? text.size() : end + 1;
  sink_->Write(absl::StrCat(line_, absl::string_view(text.data(), whole)));
  line_ = text.substr(whole);
}

std::string StderrRelay::tail() const {
  if (tail_.size() <= kTailBytes) return tail_;
  const std::string_view last = std::string_view(tail_).substr(tail_.size() - kTailBytes);
  const size_t line = last.find('\n');  // whole lines, unless there is only one
  return std::string(last.substr(line == std::string_view::npos || line + 1 == last.size() ? 0 : line + 1));
}

}  // namespace greenring::control
