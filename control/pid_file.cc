#include "control/pid_file.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"

namespace greenring::control {

absl::StatusOr<std::unique_ptr<PidFile>> PidFile::Write(const std::string& path) {
  const std::string content = absl::StrCat(getpid(), "\n");
  // Whoever reads it meanwhile finds the old one or the new one.
  const std::string temporary = absl::StrCat(path, ".", getpid());
  std::ofstream file(temporary, std::ios::trunc);
  file << content << std::flush;
  if (!file.good() || std::rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    unlink(temporary.c_str());
    return ErrnoToStatus(error, absl::StrCat("cannot write the pid file ", path));
  }
  return std::unique_ptr<PidFile>(new PidFile(path, content));
}

PidFile::~PidFile() {
  std::ifstream file(path_);
  const std::string found((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (found == content_) unlink(path_.c_str());
}

}  // namespace greenring::control
