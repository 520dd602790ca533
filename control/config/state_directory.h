// What was changed over the API, kept for the next start.
//
//   StateDirectory state("/var/lib/greenring");
//   absl::StatusOr<std::optional<v1::Configuration>> kept = state.Load();     // nothing: the first start
//   state.Save(configuration);                                                 // after every change
//
// Save writes a new file, syncs it and renames it into place: after a crash there is the old one or the new one. The
// directory is locked (flock(2)) while this exists: one server has it. Blocks on the disk.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "greenring/control/v1/config.pb.h"

namespace greenring::control {

class StateDirectory {
 public:
  // Makes it, with mode 700, when it is not there. FAILED_PRECONDITION when another server has it.
  static absl::StatusOr<std::unique_ptr<StateDirectory>> Open(const std::string& path);

  // DATA_LOSS, with file, line and what to do, when it cannot be understood: it is left as it is.
  absl::StatusOr<std::optional<v1::Configuration>> Load() const;
  absl::Status Save(const v1::Configuration& configuration);

  const std::string& path() const { return path_; }

 private:
  StateDirectory(std::string path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}

  const std::string path_;
  const UniqueFd lock_;
};

}  // namespace greenring::control
