#include "worker/credentials.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"

namespace greenring::worker {
namespace {

struct User {
  uid_t uid;
  gid_t gid;
  std::string name;  // empty: it has none
};

// Names win over numbers, as with chown(1).
std::optional<User> FindUser(const std::string& text) {
  const passwd* entry = getpwnam(text.c_str());
  uint32_t number = 0;
  if (entry == nullptr && absl::SimpleAtoi(text, &number)) entry = getpwuid(number);
  if (entry != nullptr) return User{entry->pw_uid, entry->pw_gid, entry->pw_name};
  if (!absl::SimpleAtoi(text, &number)) return std::nullopt;
  return User{number, getgid(), ""};
}

std::optional<gid_t> FindGroup(const std::string& text) {
  uint32_t number = 0;
  if (const group* entry = getgrnam(text.c_str()); entry != nullptr) return entry->gr_gid;
  if (absl::SimpleAtoi(text, &number)) return number;
  return std::nullopt;
}

absl::Status Denied(const std::string& what) {
  const absl::Status status = ErrnoToStatus(errno, what);
  return absl::Status(status.code(), absl::StrCat(status.message(), "; the server must be started by root for that"));
}

}  // namespace

absl::Status BecomeUser(const std::string& user, const std::string& group) {
  if (user.empty() && group.empty()) return absl::OkStatus();
  User target = {getuid(), getgid(), ""};
  if (!user.empty()) {
    const std::optional<User> found = FindUser(user);
    if (!found.has_value()) return absl::InvalidArgumentError(absl::StrCat("there is no user \"", user, "\""));
    target = *found;
  }
  if (!group.empty()) {
    const std::optional<gid_t> found = FindGroup(group);
    if (!found.has_value()) return absl::InvalidArgumentError(absl::StrCat("there is no group \"", group, "\""));
    target.gid = *found;
  }
  if (target.uid == getuid() && target.uid == geteuid() && target.gid == getgid() && target.gid == getegid()) {
    return absl::OkStatus();  // as it is; needs no right
  }
  const int groups =
      target.name.empty() ? setgroups(user.empty() ? 0 : 1, &target.gid) : initgroups(target.name.c_str(), target.gid);
  if (groups != 0) return Denied(absl::StrCat("cannot set the groups of user \"", user, "\""));
  if (setgid(target.gid) != 0) return Denied(absl::StrCat("cannot become group ", target.gid));
  if (setuid(target.uid) != 0) return Denied(absl::StrCat("cannot become user \"", user, "\""));
  prctl(PR_SET_DUMPABLE, 1);
  return absl::OkStatus();
}

}  // namespace greenring::worker
