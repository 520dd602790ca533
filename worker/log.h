// The worker's logs: files that are appended to, or the standard streams.
//
//   absl::StatusOr<std::unique_ptr<LogFile>> file = LogFile::Open("/var/log/shop.log");    // or "-"
//   ErrorLog errors(file->get());
//   errors.Message("client 127.0.0.1 timed out");          // "2026-01-31 12:00:00 [4711] client 127.0.0.1 timed out"
//
// Every message is one write(2), so messages of several threads and processes do not mix. docs/OBSERVABILITY.md has the
// formats. Thread-safe. Never parks (a write to a slow disk or a full pipe blocks the OS thread).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "pyhost/error_log.h"

namespace greenring::worker {

enum class LogFormat : uint8_t {
  kText,  // for people; the access log in the combined format
  kJson,  // one object a line
};

class LogFile {
 public:
  // What becomes of text that a pipe has no room for because nobody reads it.
  enum class WhenFull : uint8_t {
    kWait,  // the OS thread blocks until there is room
    kDrop,  // it is lost
  };

  // Opens for appending, made if it is not there; "-" is the descriptor `standard_fd`.
  static absl::StatusOr<std::unique_ptr<LogFile>> Open(const std::string& path, int standard_fd,
                                                       WhenFull when_full = WhenFull::kWait);

  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  // For those who write by themselves: fault handlers.
  int fd() const { return fd_; }

  // Writes all of `text`; what cannot be written is lost.
  void Write(std::string_view text);

 private:
  LogFile(UniqueFd owned, int fd, bool drops) : owned_(std::move(owned)), fd_(fd), drops_(drops) {}

  const UniqueFd owned_;
  const int fd_;
  const bool drops_;
};

class ErrorLog final : public pyhost::ErrorLog {
 public:
  explicit ErrorLog(LogFile* file) : file_(file) {}
  ~ErrorLog() { FlushApplicationLine(); }
  ErrorLog(const ErrorLog&) = delete;
  ErrorLog& operator=(const ErrorLog&) = delete;

  // Of messages from now on.
  void SetFormat(LogFormat format) { format_.store(format, std::memory_order_relaxed); }

  void Message(std::string_view message) override;

  // As text the request's id is in brackets before the request line, as JSON it has fields of its own.
  void RequestMessage(const pyhost::RequestName& request, std::string_view message) override;

  // As text it is written as it is; as JSON each line becomes an object when it is complete, or kLineBytesMax long. The
  // GIL, which every caller holds, guards the line that is not.
  void ApplicationText(std::string_view text) override;

  static constexpr size_t kLineBytesMax = 64 * 1024;

 private:
  void Write(const pyhost::RequestName* request, std::string_view message);
  void WriteApplicationLine(std::string_view line);
  void FlushApplicationLine();

  LogFile* const file_;
  std::atomic<LogFormat> format_{LogFormat::kText};
  std::string application_line_;  // the beginning of one
};

}  // namespace greenring::worker
