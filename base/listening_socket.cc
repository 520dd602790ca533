#include "base/listening_socket.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"

namespace greenring {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";

// A client that sends nothing is accepted after the handshake's first retransmission.
constexpr int kDeferAcceptSeconds = 1;

struct HostPort {
  std::string host;  // empty: all addresses
  int port = 0;
};

absl::StatusOr<HostPort> ParseHostPort(std::string_view address) {
  const auto invalid = [address](const char* reason) {
    return absl::InvalidArgumentError(absl::StrCat("address \"", absl::string_view(address.data(), address.size()),
                                                   "\": ", reason, "; expected host:port, [IPv6]:port or unix:/path"));
  };
  const size_t colon = address.rfind(':');
  if (colon == std::string_view::npos) return invalid("no port");
  HostPort result;
  result.host = std::string(address.substr(0, colon));
  const std::string port(address.substr(colon + 1));
  const bool digits =
      !port.empty() && std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || !absl::SimpleAtoi(port, &result.port) || result.port > 65535) return invalid("the port is no number");
  if (result.host.size() >= 2 && result.host.front() == '[' && result.host.back() == ']') {
    result.host = result.host.substr(1, result.host.size() - 2);
  } else if (result.host.find(':') != std::string::npos) {
    return invalid("an IPv6 address needs brackets");
  }
  if (result.host == "*") result.host.clear();
  return result;
}

// What `host:port` resolves to, IPv4 first: "localhost" then means 127.0.0.1, as clients that were given that expect.
absl::StatusOr<std::vector<sockaddr_storage>> Resolve(const HostPort& host_port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(host_port.port);
  const bool any = host_port.host.empty();
  const int error = getaddrinfo(any ? nullptr : host_port.host.c_str(), port.c_str(), &hints, &found);
  if (error != 0) {
    return absl::InvalidArgumentError(absl::StrCat("cannot resolve \"", host_port.host, "\": ", gai_strerror(error)));
  }
  std::vector<sockaddr_storage> addresses;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    sockaddr_storage storage{};
    std::memcpy(&storage, entry->ai_addr, entry->ai_addrlen);
    addresses.push_back(storage);
  }
  freeaddrinfo(found);
  // For all addresses the other way round: a socket bound to [::] serves IPv4, too.
  const sa_family_t first = any ? AF_INET6 : AF_INET;
  std::stable_partition(addresses.begin(), addresses.end(),
                        [first](const sockaddr_storage& address) { return address.ss_family == first; });
  return addresses;
}

absl::Status SetOption(int fd, int level, int name, int value, const char* text) {
  if (setsockopt(fd, level, name, &value, sizeof(value)) < 0) return ErrnoToStatus(errno, text, fd);
  return absl::OkStatus();
}

// Somebody accepts on the socket file at `address`.
bool IsInUse(const sockaddr_un& address) {
  const UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 || errno == EAGAIN;
}

// Everything that a TCP socket has before it is bound.
absl::Status SetTcpOptions(int fd, int family, bool all_addresses, const ListeningSocketOptions& options) {
  absl::Status status = SetOption(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
  // Inherited by the accepted sockets: an answer is sent whole, there is nothing to wait for.
  if (status.ok()) status = SetOption(fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
  if (status.ok() && options.defer_accept) {
    status = SetOption(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, kDeferAcceptSeconds, "TCP_DEFER_ACCEPT");
  }
  if (status.ok() && family == AF_INET6) {
    status = SetOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, all_addresses ? 0 : 1, "IPV6_V6ONLY");
  }
  return status;
}

socklen_t SizeOf(const sockaddr_storage& address) {
  return address.ss_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
}

}  // namespace

absl::StatusOr<ListeningSocket> ListeningSocket::Open(std::string_view address, const ListeningSocketOptions& options) {
  ListeningSocket socket;
  absl::Status status = address.substr(0, kUnixPrefix.size()) == kUnixPrefix
                            ? socket.OpenUnix(std::string(address.substr(kUnixPrefix.size())), options)
                            : socket.OpenTcp(address, options);
  if (status.ok()) status = socket.ReadAddress();
  if (!status.ok()) return status;
  return socket;
}

absl::StatusOr<ListeningSocket> ListeningSocket::Adopt(UniqueFd fd) {
  ListeningSocket adopted;
  adopted.fd_ = std::move(fd);
  int listens = 0;
  socklen_t size = sizeof(listens);
  if (getsockopt(adopted.fd(), SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0) {
    return ErrnoToStatus(errno, "adopt a listening socket", adopted.fd());
  }
  if (!listens) return absl::InvalidArgumentError(absl::StrCat("fd ", adopted.fd(), " does not listen"));
  if (absl::Status status = adopted.ReadAddress(); !status.ok()) return status;
  return adopted;
}

absl::Status ListeningSocket::OpenTcp(std::string_view address, const ListeningSocketOptions& options) {
  absl::StatusOr<HostPort> host_port = ParseHostPort(address);
  if (!host_port.ok()) return host_port.status();
  absl::StatusOr<std::vector<sockaddr_storage>> candidates = Resolve(*host_port);
  if (!candidates.ok()) return candidates.status();
  all_addresses_ = host_port->host.empty();
  absl::Status status;
  for (const sockaddr_storage& candidate : *candidates) {
    status = BindAndListen(candidate, address, options, /*joins=*/false);
    if (status.ok()) break;
  }
  return status;
}

absl::Status ListeningSocket::BindAndListen(const sockaddr_storage& to, std::string_view text,
                                            const ListeningSocketOptions& options, bool joins) {
  fd_.Reset(socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd_.valid()) return ErrnoToStatus(errno, "socket");
  absl::Status status = SetTcpOptions(fd(), to.ss_family, all_addresses_, options);
  if (status.ok() && joins) status = SetOption(fd(), SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT");
  if (!status.ok()) return status;
  const auto failed = [text] {
    const bool in_use = errno == EADDRINUSE;
    const absl::Status error = ErrnoToStatus(errno, absl::StrCat("listen on ", std::string(text)));
    return in_use ? absl::AlreadyExistsError(error.message()) : error;
  };
  if (bind(fd(), reinterpret_cast<const sockaddr*>(&to), SizeOf(to)) < 0) return failed();
  // Set only now: the address was nobody else's, who would have let us in unnoticed.
  if (options.reuse_port && !joins) status = SetOption(fd(), SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT");
  if (status.ok() && listen(fd(), options.backlog) < 0) return failed();
  return status;
}

absl::StatusOr<ListeningSocket> ListeningSocket::OpenAnother(const ListeningSocketOptions& options) const {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  if (getsockname(fd(), reinterpret_cast<sockaddr*>(&storage), &size) < 0) {
    return ErrnoToStatus(errno, "getsockname", fd());
  }
  ListeningSocket another;
  another.all_addresses_ = all_addresses_;
  another.address_ = address_;
  another.port_ = port_;
  if (absl::Status status = another.BindAndListen(storage, address_, options, /*joins=*/true); !status.ok())
    return status;
  return another;
}

absl::Status ListeningSocket::OpenUnix(const std::string& path, const ListeningSocketOptions& options) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat("unix socket path \"", path, "\": 1 to ", sizeof(address.sun_path) - 1, " bytes are possible"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  struct stat file;
  if (lstat(path.c_str(), &file) == 0) {
    if (!S_ISSOCK(file.st_mode)) return absl::AlreadyExistsError(absl::StrCat(path, " exists and is no socket"));
    if (IsInUse(address)) return absl::AlreadyExistsError(absl::StrCat(path, ": another process listens on it"));
    unlink(path.c_str());
  }
  fd_.Reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd_.valid()) return ErrnoToStatus(errno, "socket");
  if (bind(fd(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0) {
    return ErrnoToStatus(errno, absl::StrCat("bind to ", path));
  }
  // Nobody can connect before listen, so the permissions are there in time.
  if (chmod(path.c_str(), static_cast<mode_t>(options.unix_mode)) < 0 || lstat(path.c_str(), &file) < 0 ||
      listen(fd(), options.backlog) < 0) {
    const absl::Status status = ErrnoToStatus(errno, absl::StrCat("listen on ", path));
    unlink(path.c_str());
    return status;
  }
  unlink_path_ = path;
  unlink_device_ = file.st_dev;
  unlink_inode_ = file.st_ino;
  return absl::OkStatus();
}

absl::Status ListeningSocket::ReadAddress() {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  if (getsockname(fd(), reinterpret_cast<sockaddr*>(&storage), &size) < 0) {
    return ErrnoToStatus(errno, "getsockname", fd());
  }
  if (storage.ss_family == AF_UNIX) {
    address_ = absl::StrCat("unix:", reinterpret_cast<const sockaddr_un*>(&storage)->sun_path);
    return absl::OkStatus();
  }
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  const int error = getnameinfo(reinterpret_cast<sockaddr*>(&storage), size, host, sizeof(host), port, sizeof(port),
                                NI_NUMERICHOST | NI_NUMERICSERV);
  if (error != 0) return absl::InternalError(absl::StrCat("getnameinfo: ", gai_strerror(error)));
  const bool brackets = storage.ss_family == AF_INET6;
  address_ = absl::StrCat(brackets ? "[" : "", host, brackets ? "]" : "", ":", port);
  port_ = std::atoi(port);
  return absl::OkStatus();
}

ListeningSocket::ListeningSocket(ListeningSocket&& other) noexcept { *this = std::move(other); }

ListeningSocket& ListeningSocket::operator=(ListeningSocket&& other) noexcept {
  if (this == &other) return *this;
  Close();
  fd_ = std::move(other.fd_);
  address_ = std::move(other.address_);
  port_ = other.port_;
  all_addresses_ = other.all_addresses_;
  unlink_path_ = std::exchange(other.unlink_path_, {});
  unlink_device_ = other.unlink_device_;
  unlink_inode_ = other.unlink_inode_;
  return *this;
}

void ListeningSocket::Close() {
  fd_.Reset();
  if (unlink_path_.empty()) return;
  // A successor may have put its own socket there.
  struct stat file;
  if (lstat(unlink_path_.c_str(), &file) == 0 && file.st_dev == unlink_device_ && file.st_ino == unlink_inode_) {
    unlink(unlink_path_.c_str());
  }
  unlink_path_.clear();
}

}  // namespace greenring
