#include "tools/greenctl/socket_owner.h"

#include <errno.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"
#include "tools/greenctl/exit_code.h"

namespace greenring::greenctl {
namespace {

// "alice", or "uid 1000".
std::string NameOf(uid_t uid) {
  passwd entry;
  passwd* found = nullptr;
  std::vector<char> buffer(size_t{16} << 10);
  getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found);
  return found == nullptr ? absl::StrCat("uid ", uid) : found->pw_name;
}

}  // namespace

bool MayUse(uid_t owner, uid_t self) { return self == 0 || owner == 0 || owner == self; }

absl::Status NotForThisUser(const std::string& path, uid_t owner) {
  const std::string name = NameOf(owner);
  return WithHint(
      WithExitCode(absl::PermissionDeniedError(absl::StrCat("the socket ", path, " is not for this user, it is ", name,
                                                            "'s: nothing was sent")),
                   kExitRefused),
      absl::StrCat("to control the server of ", name, ": sudo -u ", name,
                   " greenctl ...; to control one of your own, give it a socket in a directory of yours: server "
                   "--control=unix:PATH, greenctl --server unix:PATH"));
}

int TryToConnect(const std::string& path, uid_t* listener) {
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  if (path.size() >= sizeof(address.sun_path)) return ENAMETOOLONG;
  memcpy(address.sun_path, path.data(), path.size());
  // One that does not accept is not waited for.
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return errno;
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) return errno;
  ucred credentials = {};
  socklen_t size = sizeof(credentials);
  if (getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return errno;
  *listener = credentials.uid;
  return 0;
}

absl::Status CheckSocketFile(const std::string& path, uid_t self) {
  struct stat file;
  // A link that somebody else has made leads wherever they like.
  for (int (*look)(const char*, struct stat*) : {&lstat, &stat}) {
    if (look(path.c_str(), &file) == 0 && !MayUse(file.st_uid, self)) return NotForThisUser(path, file.st_uid);
  }
  return absl::OkStatus();
}

absl::Status CheckListener(const std::string& path, uid_t self) {
  uid_t listener;
  if (TryToConnect(path, &listener) != 0 || MayUse(listener, self)) return absl::OkStatus();
  return NotForThisUser(path, listener);
}

}  // namespace greenring::greenctl
