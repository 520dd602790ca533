// Tells of changes of files and directories, by inotify(7).
//
//   FileMonitor monitor(&timers);
//   absl::StatusOr<int> id = monitor.Add("/srv/shop/reload", [] { ... });
//   monitor.Remove(*id);
//
// A file is told of when it is written, touched, replaced (rename), deleted or made again, also when it is not there
// yet: its directory has to be. Of a directory each of its entries counts as well, but none below them. However much
// happens within kLookNs is one call. What happens to the directory that holds the path (it is moved away) is not seen.
// On the reactor's thread only; nothing blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "control/timers.h"

namespace greenring::control {

class FileMonitor {
 public:
  explicit FileMonitor(Timers* timers) : timers_(timers) {}
  FileMonitor(const FileMonitor&) = delete;
  FileMonitor& operator=(const FileMonitor&) = delete;

  // Returns what Remove takes. INVALID_ARGUMENT: no absolute path; else why its directory cannot be watched.
  absl::StatusOr<int> Add(const std::string& path, std::function<void()> on_change);
  void Remove(int id);

  static constexpr int64_t kLookNs = 100 * kNanosecondsPerMillisecond;

 private:
  struct Entry {
    std::string path;
    std::string name;  // in its directory
    std::function<void()> on_change;
    int parent_watch = -1;
    int own_watch = -1;  // a directory's own; -1: it is none now
    bool changed = false;
  };

  void WatchOwn(Entry* entry);
  void DropUnused(int watch);
  void LookLater();
  void Look();
  void Note(int watch, uint32_t mask, const std::string& name);

  Timers* const timers_;
  UniqueFd fd_;  // of inotify; while there are entries
  int last_id_ = 0;
  std::map<int, Entry> entries_;
  std::unique_ptr<Timers::Timer> timer_;
};

}  // namespace greenring::control
