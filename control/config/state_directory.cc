#include "control/config/state_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "control/config/config_file.h"
#include "control/config/pool_config.h"
#include "control/config/yaml_tree.h"
#include "google/protobuf/text_format.h"

namespace greenring::control {
namespace {

constexpr char kFileName[] = "/state.textproto";
constexpr char kNewFileName[] = "/state.textproto.new";
constexpr char kLockName[] = "/lock";

// The first line. A file of another version is refused: what it means would be a guess.
constexpr std::string_view kVersionLine = "# greenring state, version 1\n";
// The last one: half a file may be a right one, with half of the pools.
constexpr std::string_view kEndLine = "# end\n";
constexpr std::string_view kHeader =
    "# What was changed over the API. Written by the server, which reads it at its start; do not edit it while one "
    "runs.\n"
    "# Remove this file to start with the server's flags or its configuration file again.\n";

absl::Status Failed(std::string_view what, const std::string& path, int error_number) {
  return absl::ErrnoToStatus(error_number, absl::StrCat(std::string(what), " ", path));
}

absl::Status WriteAll(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Failed("write", path, errno);
    text.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status WriteFile(const std::string& path, std::string_view text) {
  const UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return Failed("create", path, errno);
  if (absl::Status status = WriteAll(file.get(), text, path); !status.ok()) return status;
  if (fsync(file.get()) != 0) return Failed("sync", path, errno);
  return absl::OkStatus();
}

// The text; nothing when there is no file.
absl::StatusOr<std::optional<std::string>> ReadFile(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid() && errno == ENOENT) return std::optional<std::string>();
  if (!file.valid()) return Failed("open", path, errno);
  std::string text;
  char block[1 << 16];
  for (;;) {
    const ssize_t count = read(file.get(), block, sizeof(block));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Failed("read", path, errno);
    if (count == 0) return text;
    text.append(block, static_cast<size_t>(count));
    // Nobody has written more than that here.
    if (text.size() > kYamlBytesMax) return absl::DataLossError(absl::StrCat(path, ": is too large"));
  }
}

// Names survive a crash only when the directory is on the disk, too.
absl::Status SyncDirectory(const std::string& path) {
  const UniqueFd directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return Failed("open", path, errno);
  if (fsync(directory.get()) != 0) return Failed("sync", path, errno);
  return absl::OkStatus();
}

absl::Status Corrupt(absl::string_view what, const std::string& path) {
  return absl::DataLossError(
      absl::StrCat(what, "\nThe server has not started, and the file is as it was. Repair it, or move it away: ", path,
                   "; then the server starts with its flags or its configuration file."));
}

}  // namespace

absl::StatusOr<std::unique_ptr<StateDirectory>> StateDirectory::Open(const std::string& path) {
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return Failed("create the state directory", path, errno);
  const std::string lock_path = path + kLockName;
  UniqueFd lock(open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.valid()) return Failed("open", lock_path, errno);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) == 0) {
    return std::unique_ptr<StateDirectory>(new StateDirectory(path, std::move(lock)));
  }
  if (errno != EWOULDBLOCK) return Failed("lock", lock_path, errno);
  return absl::FailedPreconditionError(
      absl::StrCat(path, ": another server keeps its state there; each needs a directory of its own"));
}

absl::StatusOr<std::optional<v1::Configuration>> StateDirectory::Load() const {
  const std::string path = path_ + kFileName;
  absl::StatusOr<std::optional<std::string>> text = ReadFile(path);
  if (absl::IsDataLoss(text.status())) return Corrupt(text.status().message(), path);
  if (!text.ok()) return text.status();
  if (!text->has_value()) return std::optional<v1::Configuration>();
  if ((*text)->compare(0, kVersionLine.size(), kVersionLine) != 0) {
    return Corrupt(
        absl::StrCat(path, ":1: does not begin with \"", std::string(kVersionLine.substr(0, kVersionLine.size() - 1)),
                     "\": it is not whole, or of another version of the server"),
        path);
  }
  v1::Configuration configuration;
  if (absl::Status status = ParseCheckedPools(**text, path, &configuration); !status.ok()) {
    return Corrupt(status.message(), path);
  }
  if (!absl::EndsWith(**text, absl::string_view(kEndLine.data(), kEndLine.size()))) {
    return Corrupt(absl::StrCat(path, ": does not end with \"# end\": a part of it is missing"), path);
  }
  for (v1::Pool& pool : *configuration.mutable_pools()) FillDefaults(&pool);
  return std::optional<v1::Configuration>(std::move(configuration));
}

absl::Status StateDirectory::Save(const v1::Configuration& configuration) {
  std::string body;
  google::protobuf::TextFormat::Printer printer;
  printer.SetUseUtf8StringEscaping(true);
  if (!printer.PrintToString(configuration, &body)) return absl::InternalError("the state cannot be written as text");
  const std::string path = path_ + kFileName;
  const std::string new_path = path_ + kNewFileName;
  const std::string text = absl::StrCat(std::string(kVersionLine), std::string(kHeader), body, std::string(kEndLine));
  if (absl::Status status = WriteFile(new_path, text); !status.ok()) {
    unlink(new_path.c_str());  // half a file helps nobody, least of all on a full disk
    return status;
  }
  if (rename(new_path.c_str(), path.c_str()) != 0) return Failed("rename to", path, errno);
  return SyncDirectory(path_);
}

}  // namespace greenring::control
