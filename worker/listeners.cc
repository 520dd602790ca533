#include "worker/listeners.h"

#include <sys/socket.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "worker/pool_options.h"

namespace greenring::worker {
namespace {

// The sockets of a server that was killed live on until the kernel has torn its ring down: an address in use is tried
// again for so long.
constexpr absl::Duration kAddressInUsePatience = absl::Seconds(1);

absl::StatusOr<std::unique_ptr<ioloop::Listener>> OpenListener(const std::string& address,
                                                               const ioloop::ListenerOptions& options) {
  const absl::Time deadline = absl::Now() + kAddressInUsePatience;
  for (;;) {
    absl::StatusOr<std::unique_ptr<ioloop::Listener>> listener = ioloop::Listener::Open(address, options);
    if (!absl::IsAlreadyExists(listener.status()) || absl::Now() > deadline) return listener;
    absl::SleepFor(absl::Milliseconds(20));
  }
}

}  // namespace

std::string WorkerListener::Description() const {
  if (socket->port() == 0) return socket->address();
  return absl::StrCat(protocol == protocol::WireProtocol::kUwsgi ? "uwsgi://" : "http://", socket->address());
}

absl::StatusOr<std::vector<WorkerListener>> OpenListeners(const WorkerOptions& options) {
  ioloop::ListenerOptions listener_options;
  listener_options.backlog = options.listen_backlog;
  std::vector<WorkerListener> listeners;
  for (const ListenAddress& address : options.addresses) {
    absl::StatusOr<std::unique_ptr<ioloop::Listener>> listener = OpenListener(address.text, listener_options);
    if (!listener.ok()) {
      const char* const flag = address.protocol == protocol::WireProtocol::kUwsgi ? "--uwsgi=" : "--http=";
      return absl::Status(listener.status().code(),
                          absl::StrCat(flag, address.text, ": ", listener.status().message()));
    }
    listeners.push_back({.socket = *std::move(listener), .protocol = address.protocol});
  }
  return listeners;
}

absl::StatusOr<std::vector<WorkerListener>> AdoptListeners(MasterStart* master) {
  std::vector<WorkerListener> listeners;
  for (size_t i = 0; i < master->sockets.size(); ++i) {
    UniqueFd& socket = master->sockets[i];
    sockaddr_storage address{};
    socklen_t size = sizeof(address);
    getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size);
    // A unix socket is one for all workers of a pool; of TCP each has its own.
    absl::StatusOr<std::unique_ptr<ioloop::Listener>> listener =
        ioloop::Listener::Adopt(std::move(socket), /*by_turns=*/address.ss_family == AF_UNIX);
    if (!listener.ok()) return listener.status();
    const auto protocol = master->start.sockets(static_cast<int>(i)).protocol();
    listeners.push_back({.socket = *std::move(listener), .protocol = WireProtocolOf(protocol)});
  }
  master->sockets.clear();
  return listeners;
}

pyhost::ListenerInfo InfoOf(const WorkerListener& listener) {
  const ioloop::Listener& socket = *listener.socket;
  pyhost::ListenerInfo info{.server_name = "localhost", .server_port = "80", .protocol = listener.protocol};
  if (socket.port() == 0) return info;
  info.server_name = socket.address().substr(0, socket.address().rfind(':'));
  if (info.server_name.size() > 2 && info.server_name.front() == '[') {
    info.server_name = info.server_name.substr(1, info.server_name.size() - 2);
  }
  info.server_port = std::to_string(socket.port());
  return info;
}

}  // namespace greenring::worker
