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
#include "base/clock.h"
#include "base/errno_status.h"
#include "base/json_text.h"
#include "ioloop/posix/interposer.h"

namespace greenring::worker {
namespace {

std::string TextStamp() {
  const time_t now_s = time(nullptr);
  tm local;
  localtime_r(&now_s, &local);
  char stamp[48];
  const size_t length = strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &local);
  return std::string(stamp, length) + " [" + std::to_string(getpid()) + "] ";
}

// The time and the process.
std::string BeginObject() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  std::string object = "{";
  AppendJsonField("time", JsonTime(now.tv_sec * kNanosecondsPerSecond + now.tv_nsec), &object);
  AppendJsonField("pid", getpid(), &object);
  return object;
}

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

void ErrorLog::Message(std::string_view message) { Write(nullptr, message); }

void ErrorLog::RequestMessage(const pyhost::RequestName& request, std::string_view message) {
  Write(&request, message);
}

void ErrorLog::Write(const pyhost::RequestName* request, std::string_view message) {
  std::string line;
  if (format_.load(std::memory_order_relaxed) == LogFormat::kJson) {
    line = BeginObject();
    if (request != nullptr) {
      if (!request->id.empty()) AppendJsonField("request_id", request->id, &line);
      AppendJsonField("method", request->method, &line);
      AppendJsonField("target", request->target, &line);
    }
    AppendJsonField("message", message, &line);
    line += "}\n";
  } else {
    line = TextStamp();
    if (request != nullptr) {
      if (!request->id.empty()) line.append("[").append(request->id).append("] ");
      line.append(request->method).append(" ").append(request->target).append(": ");
    }
    line.append(message).append("\n");
  }
  file_->Write(line);
}

void ErrorLog::ApplicationText(std::string_view text) {
  if (format_.load(std::memory_order_relaxed) == LogFormat::kText) {
    FlushApplicationLine();
    file_->Write(text);
    return;
  }
  while (!text.empty()) {
    const size_t end = text.find('\n');
    application_line_.append(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (end != std::string_view::npos) {
      WriteApplicationLine(application_line_);
      application_line_.clear();
    } else if (application_line_.size() >= kLineBytesMax) {
      FlushApplicationLine();
    }
  }
}

void ErrorLog::FlushApplicationLine() {
  if (application_line_.empty()) return;
  WriteApplicationLine(application_line_);
  application_line_.clear();
}

void ErrorLog::WriteApplicationLine(std::string_view line) {
  std::string object = BeginObject();
  AppendJsonField("source", "application", &object);
  AppendJsonField("message", line, &object);
  object += "}\n";
  file_->Write(object);
}

}  // namespace greenring::worker
