// The file with the server's process id, for init scripts.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace greenring::control {

// Removes the file when it goes, if it still names this process.
class PidFile {
 public:
  // Blocks on the disk. The error names the path.
  static absl::StatusOr<std::unique_ptr<PidFile>> Write(const std::string& path);

  PidFile(const PidFile&) = delete;
  PidFile& operator=(const PidFile&) = delete;
  ~PidFile();

 private:
  PidFile(std::string path, std::string content) : path_(std::move(path)), content_(std::move(content)) {}

  const std::string path_;
  const std::string content_;
};

}  // namespace greenring::control
