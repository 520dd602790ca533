#include "ioloop/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/errno_status.h"

namespace greenring::ioloop {
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

// The connection was lost on its way, or something that the next accept does not depend on.
bool IsTransient(int error_number) {
  switch (error_number) {
    case ECANCELED:
    case EINTR:
    case EAGAIN:
    case ECONNABORTED:
    case EPERM:  // a firewall's rule
    case EPROTO:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
      return true;
    default:
      return false;
  }
}

}  // namespace

Listener::StateTimer::StateTimer(Listener* owner)
    : Timer([](Timer* self) { static_cast<StateTimer*>(self)->owner->OnTimer(); }), owner(owner) {}

// ---- opening -------------------------------------------------------------------------------------------------------

absl::StatusOr<std::unique_ptr<Listener>> Listener::Open(std::string_view address, const ListenerOptions& options) {
  std::unique_ptr<Listener> listener(new Listener);
  absl::Status status = address.substr(0, kUnixPrefix.size()) == kUnixPrefix
                            ? listener->OpenUnix(std::string(address.substr(kUnixPrefix.size())), options)
                            : listener->OpenTcp(address, options);
  if (status.ok()) status = listener->ReadAddress();
  if (!status.ok()) return status;
  return listener;
}

absl::StatusOr<std::unique_ptr<Listener>> Listener::Adopt(UniqueFd fd) {
  std::unique_ptr<Listener> listener(new Listener);
  listener->fd_ = std::move(fd);
  listener->adopted_ = true;
  int listens = 0;
  socklen_t size = sizeof(listens);
  if (getsockopt(listener->fd(), SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0) {
    return ErrnoToStatus(errno, "adopt a listening socket", listener->fd());
  }
  if (!listens) return absl::InvalidArgumentError(absl::StrCat("fd ", listener->fd(), " does not listen"));
  if (absl::Status status = listener->ReadAddress(); !status.ok()) return status;
  return listener;
}

absl::Status Listener::OpenTcp(std::string_view address, const ListenerOptions& options) {
  absl::StatusOr<HostPort> host_port = ParseHostPort(address);
  if (!host_port.ok()) return host_port.status();
  absl::StatusOr<std::vector<sockaddr_storage>> candidates = Resolve(*host_port);
  if (!candidates.ok()) return candidates.status();
  absl::Status status;
  for (const sockaddr_storage& candidate : *candidates) {
    fd_.Reset(socket(candidate.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd_.valid()) {
      status = ErrnoToStatus(errno, "socket");
      continue;
    }
    status = SetOption(fd(), SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
    if (status.ok() && options.reuse_port) status = SetOption(fd(), SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT");
    // Inherited by the accepted sockets: an answer is sent whole, there is nothing to wait for.
    if (status.ok()) status = SetOption(fd(), IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
    if (status.ok() && options.defer_accept) {
      status = SetOption(fd(), IPPROTO_TCP, TCP_DEFER_ACCEPT, kDeferAcceptSeconds, "TCP_DEFER_ACCEPT");
      deferred_ = true;
    }
    if (status.ok() && candidate.ss_family == AF_INET6) {
      status = SetOption(fd(), IPPROTO_IPV6, IPV6_V6ONLY, host_port->host.empty() ? 0 : 1, "IPV6_V6ONLY");
    }
    if (!status.ok()) continue;
    const socklen_t size = candidate.ss_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
    if (bind(fd(), reinterpret_cast<const sockaddr*>(&candidate), size) < 0 || listen(fd(), options.backlog) < 0) {
      status = ErrnoToStatus(errno, absl::StrCat("listen on ", std::string(address)));
      continue;
    }
    return absl::OkStatus();
  }
  return status;
}

absl::Status Listener::OpenUnix(const std::string& path, const ListenerOptions& options) {
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

absl::Status Listener::ReadAddress() {
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

Listener::~Listener() {
  GREENRING_CHECK(state_ == State::kOpen || state_ == State::kStopped);
  CloseSocket();
}

// ---- accepting -----------------------------------------------------------------------------------------------------

void Listener::MoveTo(State next) {
  const bool legal = next == State::kStopped ? state_ == State::kStopping || state_ == State::kOpen
                     : next == State::kStopping
                         ? state_ == State::kAccepting || state_ == State::kPaused || state_ == State::kLastCall
                     : next == State::kLastCall  ? state_ == State::kAccepting
                     : next == State::kPaused    ? state_ == State::kAccepting
                     : next == State::kAccepting ? state_ == State::kOpen || state_ == State::kPaused
                                                 : false;
  GREENRING_CHECK(legal);
  state_ = next;
}

void Listener::Start(EventLoop* loop, Handler* handler) {
  MoveTo(State::kAccepting);
  loop_ = loop;
  handler_ = handler;
  Accept();
}

void Listener::Accept() { loop_->ring()->AcceptMultishot(fd(), this); }

void Listener::OnComplete(int32_t result, uint32_t flags) {
  if (result >= 0) {
    exhaustion_logged_ = false;
    handler_->OnAccept(UniqueFd(result));
  }
  if (flags & Ring::kMore) return;
  if (state_ == State::kStopping) {
    loop_->FlushLater(this);
  } else if (result >= 0 || IsTransient(-result)) {
    Accept();
  } else if (state_ == State::kLastCall) {
    loop_->scheduler()->RemoveTimer(&timer_);
    MoveTo(State::kStopping);
    loop_->FlushLater(this);
  } else {
    Pause(-result);
  }
}

void Listener::Pause(int error_number) {
  if (!exhaustion_logged_) {
    std::fprintf(stderr, "greenring: accepting on %s pauses: %s\n", address_.c_str(), std::strerror(error_number));
    exhaustion_logged_ = true;
  }
  MoveTo(State::kPaused);
  loop_->scheduler()->AddTimer(&timer_, loop_->clock()->NowNs() + kExhaustedPauseNs);
}

void Listener::OnTimer() {
  if (state_ == State::kPaused) {
    MoveTo(State::kAccepting);
    Accept();
  } else {
    loop_->ring()->Cancel(this);
    MoveTo(State::kStopping);
  }
}

// ---- stopping ------------------------------------------------------------------------------------------------------

void Listener::Stop() {
  switch (state_) {
    case State::kOpen:
      MoveTo(State::kStopped);
      CloseSocket();
      return;
    case State::kAccepting:
      if (deferred_) {
        // Connections whose first bytes are on their way come into the queue only with those.
        SetOption(fd(), IPPROTO_TCP, TCP_DEFER_ACCEPT, 0, "TCP_DEFER_ACCEPT").IgnoreError();
        MoveTo(State::kLastCall);
        loop_->scheduler()->AddTimer(&timer_, loop_->clock()->NowNs() + kLastCallNs);
      } else {
        loop_->ring()->Cancel(this);
        MoveTo(State::kStopping);
      }
      return;
    case State::kPaused:
      loop_->scheduler()->RemoveTimer(&timer_);
      MoveTo(State::kStopping);
      loop_->FlushLater(this);
      return;
    case State::kLastCall:
    case State::kStopping:
    case State::kStopped:
      return;
  }
}

void Listener::Flush() {
  if (!adopted_) AcceptQueued();
  CloseSocket();
  MoveTo(State::kStopped);
  handler_->OnStopped();  // `this` may be gone
}

void Listener::AcceptQueued() {
  // Ours alone, so that the flag, which all holders of a socket share, changes nobody else's.
  fcntl(fd(), F_SETFL, fcntl(fd(), F_GETFL) | O_NONBLOCK);
  for (;;) {
    UniqueFd accepted(accept4(fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (accepted.valid()) {
      handler_->OnAccept(std::move(accepted));
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return;
    }
  }
}

void Listener::CloseSocket() {
  fd_.Reset();
  if (unlink_path_.empty()) return;
  // A successor may have put its own socket there.
  struct stat file;
  if (lstat(unlink_path_.c_str(), &file) == 0 && file.st_dev == unlink_device_ && file.st_ino == unlink_inode_) {
    unlink(unlink_path_.c_str());
  }
  unlink_path_.clear();
}

}  // namespace greenring::ioloop
