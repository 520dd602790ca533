#include "control/uwsgi/file_monitor.h"

#include <errno.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"

namespace greenring::control {
namespace {

constexpr uint32_t kChanges = IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_FROM |
                              IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF;

}  // namespace

absl::StatusOr<int> FileMonitor::Add(const std::string& path, std::function<void()> on_change) {
  std::string clean = path;
  while (clean.size() > 1 && clean.back() == '/') clean.pop_back();
  const size_t slash = clean.rfind('/');
  if (clean.empty() || clean.front() != '/') {
    return absl::InvalidArgumentError(absl::StrCat("cannot watch \"", path, "\": it is no absolute path"));
  }
  if (!fd_.valid()) fd_ = UniqueFd(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!fd_.valid()) return ErrnoToStatus(errno, "watch files: inotify_init1");
  Entry entry;
  entry.path = clean;
  entry.name = clean.substr(slash + 1);
  entry.on_change = std::move(on_change);
  const std::string parent = slash == 0 ? "/" : clean.substr(0, slash);  // of / itself, too: nothing else happens to it
  entry.parent_watch = inotify_add_watch(fd_.get(), parent.c_str(), kChanges);
  if (entry.parent_watch < 0) return ErrnoToStatus(errno, absl::StrCat("watch ", parent, " for changes of ", path));
  WatchOwn(&entry);
  entries_.emplace(++last_id_, std::move(entry));
  LookLater();
  return last_id_;
}

void FileMonitor::Remove(int id) {
  const auto removed = entries_.extract(id);
  if (removed.empty()) return;
  DropUnused(removed.mapped().parent_watch);
  DropUnused(removed.mapped().own_watch);
  if (!entries_.empty()) return;
  timer_.reset();
  fd_.Reset();
}

// Of a file its directory's watch tells.
void FileMonitor::WatchOwn(Entry* entry) {
  const int before = entry->own_watch;
  entry->own_watch = inotify_add_watch(fd_.get(), entry->path.c_str(), kChanges | IN_ONLYDIR);
  DropUnused(before);
}

void FileMonitor::DropUnused(int watch) {
  const bool used = std::any_of(entries_.begin(), entries_.end(), [watch](const auto& entry) {
    return entry.second.parent_watch == watch || entry.second.own_watch == watch;
  });
  if (watch >= 0 && !used) inotify_rm_watch(fd_.get(), watch);
}

void FileMonitor::LookLater() {
  if (timer_ != nullptr || entries_.empty()) return;
  timer_ = timers_->After(kLookNs, [this] {
    Look();
    timer_.reset();
    LookLater();
  });
}

void FileMonitor::Look() {
  alignas(inotify_event) char buffer[16 * 1024];
  for (ssize_t size; (size = read(fd_.get(), buffer, sizeof(buffer))) > 0;) {
    for (const char* next = buffer; next < buffer + size;) {
      const auto* const event = reinterpret_cast<const inotify_event*>(next);
      next += sizeof(inotify_event) + event->len;
      Note(event->wd, event->mask, event->len > 0 ? event->name : "");
    }
  }
  std::vector<int> changed;
  for (auto& [id, entry] : entries_) {
    if (std::exchange(entry.changed, false)) changed.push_back(id);
  }
  for (const int id : changed) {
    const auto entry = entries_.find(id);
    if (entry == entries_.end()) continue;  // one of those before has removed it
    const std::function<void()> on_change = entry->second.on_change;
    on_change();
  }
}

void FileMonitor::Note(int watch, uint32_t mask, const std::string& name) {
  for (auto& [id, entry] : entries_) {
    if ((mask & IN_Q_OVERFLOW) != 0) {
      entry.changed = true;  // what happened is lost: something did
    } else if (watch == entry.parent_watch && name == entry.name) {
      entry.changed = true;
      if ((mask & (IN_CREATE | IN_MOVED_TO)) != 0) WatchOwn(&entry);  // it is another one now
    } else if (watch == entry.own_watch) {
      if ((mask & IN_IGNORED) != 0) {
        entry.own_watch = -1;
      } else {
        entry.changed = true;
      }
    }
  }
}

}  // namespace greenring::control
