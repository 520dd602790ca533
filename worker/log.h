// The worker's logs: files that are appended to, or the standard streams.
//
//   absl::StatusOr<std::unique_ptr<LogFile>> file = LogFile::Open("/var/log/shop.log");    // or "-"
//   ErrorLog errors(file->get());
//   errors.Message("client 127.0.0.1 timed out");          // "2026-01-31 12:00:00 [4711] client 127.0.0.1 timed out"
//
// Every message is one write(2), so messages of several threads and processes do not mix. Thread-safe. Never parks (a
// write to a slow disk or a full pipe blocks the OS thread).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "pyhost/error_log.h"

namespace greenring::worker {

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

  void Message(std::string_view message) override;
  void ApplicationText(std::string_view text) override { file_->Write(text); }

 private:
  LogFile* const file_;
};

}  // namespace greenring::worker
