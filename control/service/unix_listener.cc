#include "control/service/unix_listener.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "control/lifetime.h"

namespace greenring::control {
namespace {

constexpr int kBacklog = 64;
constexpr mode_t kSocketMode = 0600;
// How long another server may take between looking at the file and listening on it: a few system calls.
constexpr int kLockTries = 100;
constexpr timespec kLockPause = {0, 10'000'000};
// After an error of accept(2), such as no descriptor being left, that would come again at once.
constexpr std::chrono::milliseconds kAcceptPause(100);

absl::StatusOr<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("unix:", path, ": the path of a socket has 1 to ",
                                                   sizeof(address.sun_path) - 1, " bytes, not ", path.size(),
                                                   ": choose a shorter one with --control=unix:PATH"));
  }
  memcpy(address.sun_path, path.data(), path.size());
  return address;
}

absl::StatusOr<PeerCredentials> CredentialsOf(int fd) {
  ucred credentials = {};
  socklen_t size = sizeof(credentials);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return ErrnoToStatus(errno, "SO_PEERCRED");
  return PeerCredentials{credentials.uid, credentials.pid};
}

// Two servers that start at the same path take turns. Without the lock (somebody else's flock(2)) it goes on.
UniqueFd LockDirectory(int directory_fd) {
  for (int i = 0; i < kLockTries; ++i) {
    if (flock(directory_fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) break;
    nanosleep(&kLockPause, nullptr);
  }
  return UniqueFd(directory_fd);
}

// Removes what an earlier server has left at `path`.
absl::Status MakeRoom(const std::string& path, const sockaddr_un& address) {
  struct stat file;
  if (lstat(path.c_str(), &file) != 0) {
    return errno == ENOENT ? absl::OkStatus() : ErrnoToStatus(errno, absl::StrCat("unix:", path));
  }
  if (!S_ISSOCK(file.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is a file, not a socket: remove it, or choose another path with --control=unix:PATH"));
  }
  const UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!probe.valid()) return ErrnoToStatus(errno, "socket");
  const int connected = connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  if (connected == 0 || errno == EAGAIN) {  // EAGAIN: it listens, but has too many to accept already
    const absl::StatusOr<PeerCredentials> owner = CredentialsOf(probe.get());
    const std::string who = connected == 0 && owner.ok() ? absl::StrCat("the process ", owner->pid) : "another process";
    return absl::AlreadyExistsError(absl::StrCat("another server runs already: ", who, " listens on ", path,
                                                 ". Stop it, or give this server a control socket of its own with "
                                                 "--control=unix:PATH (or none: --control=off)"));
  }
  const int error = errno == ECONNREFUSED && unlink(path.c_str()) == 0 ? 0 : errno;
  if (error == 0) return absl::OkStatus();
  return absl::Status(ErrnoToStatus(error, "").code(),
                      absl::StrCat("cannot replace the socket ", path, " of uid ", file.st_uid, ": ", strerror(error),
                                   ": remove it, or choose another path with --control=unix:PATH"));
}

class Listener final : public UnixListener {
 public:
  Listener(std::string path, UniqueFd fd, const struct stat& file, Reactor* reactor, uid_t server_uid,
           Observer* observer)
      : path_(std::move(path)),
        file_(file),
        server_uid_(server_uid),
        observer_(observer),
        socket_(*reactor->context(), fd.Release()),
        pause_(*reactor->context()) {
    Wait();
  }

  ~Listener() override {
    struct stat file;
    if (lstat(path_.c_str(), &file) == 0 && file.st_dev == file_.st_dev && file.st_ino == file_.st_ino) {
      unlink(path_.c_str());
    }
  }

 private:
  void Wait() {
    socket_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                       lifetime_.Guard([this](const boost::system::error_code& error) {
                         if (!error) AcceptAll();
                       }));
  }

  void AcceptAll() {
    for (;;) {
      UniqueFd connection(accept4(socket_.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!connection.valid()) break;
      const absl::StatusOr<PeerCredentials> peer = CredentialsOf(connection.get());
      if (!peer.ok()) continue;
      if (MayConnect(*peer, server_uid_)) {
        observer_->OnConnection(std::move(connection), *peer);
      } else {
        connection.Reset();
        observer_->OnRefused(*peer);
      }
    }
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return Wait();
    observer_->OnTrouble(ErrnoToStatus(errno, absl::StrCat("unix:", path_, ": accept")));
    pause_.expires_after(kAcceptPause);
    pause_.async_wait(lifetime_.Guard([this](const boost::system::error_code& error) {
      if (!error) Wait();
    }));
  }

  const std::string path_;
  const struct stat file_;
  const uid_t server_uid_;
  Observer* const observer_;
  boost::asio::posix::stream_descriptor socket_;
  boost::asio::steady_timer pause_;
  const Lifetime lifetime_;
};

}  // namespace

bool MayConnect(const PeerCredentials& peer, uid_t server_uid) { return peer.uid == 0 || peer.uid == server_uid; }

absl::StatusOr<std::unique_ptr<UnixListener>> UnixListener::Listen(const std::string& path, Reactor* reactor,
                                                                   uid_t server_uid, Observer* observer) {
  const absl::StatusOr<sockaddr_un> address = AddressOf(path);
  if (!address.ok()) return address.status();
  const size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int directory_fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory_fd < 0 && errno != EACCES) {  // one that may be searched but not read does as well
    return absl::Status(ErrnoToStatus(errno, "").code(),
                        absl::StrCat("unix:", path, ": the directory ", directory, ": ", strerror(errno),
                                     ": make it, or choose another path with --control=unix:PATH"));
  }
  const UniqueFd lock = directory_fd < 0 ? UniqueFd() : LockDirectory(directory_fd);
  const absl::Status room = MakeRoom(path, *address);
  if (!room.ok()) return room;

  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoToStatus(errno, "socket");
  struct stat file;
  // The mode before anybody can connect: that needs listen(2).
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0 ||
      chmod(path.c_str(), kSocketMode) != 0 || lstat(path.c_str(), &file) != 0 || listen(fd.get(), kBacklog) != 0) {
    return ErrnoToStatus(errno, absl::StrCat("unix:", path));
  }
  return std::unique_ptr<UnixListener>(new Listener(path, std::move(fd), file, reactor, server_uid, observer));
}

}  // namespace greenring::control
