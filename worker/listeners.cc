#include "worker/listeners.h"

#include <sys/socket.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

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

absl::StatusOr<std::vector<std::unique_ptr<ioloop::Listener>>> OpenListeners(const WorkerOptions& options) {
  ioloop::ListenerOptions listener_options;
  listener_options.backlog = options.listen_backlog;
  std::vector<std::unique_ptr<ioloop::Listener>> listeners;
  for (const std::string& address : options.http_addresses) {
    absl::StatusOr<std::unique_ptr<ioloop::Listener>> listener = OpenListener(address, listener_options);
    if (!listener.ok()) {
      return absl::Status(listener.status().code(),
                          absl::StrCat("--http=", address, ": ", listener.status().message()));
    }
    listeners.push_back(*std::move(listener));
  }
  return listeners;
}

absl::StatusOr<std::vector<std::unique_ptr<ioloop::Listener>>> AdoptListeners(std::vector<UniqueFd> sockets) {
  std::vector<std::unique_ptr<ioloop::Listener>> listeners;
  for (UniqueFd& socket : sockets) {
    sockaddr_storage address{};
    socklen_t size = sizeof(address);
    getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size);
    // A unix socket is one for all workers of a pool; of TCP each has its own.
    absl::StatusOr<std::unique_ptr<ioloop::Listener>> listener =
        ioloop::Listener::Adopt(std::move(socket), /*by_turns=*/address.ss_family == AF_UNIX);
    if (!listener.ok()) return listener.status();
    listeners.push_back(*std::move(listener));
  }
  return listeners;
}

pyhost::ListenerInfo InfoOf(const ioloop::Listener& listener) {
  if (listener.port() == 0) return {.server_name = "localhost", .server_port = "80"};
  std::string host = listener.address().substr(0, listener.address().rfind(':'));
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  return {.server_name = host, .server_port = std::to_string(listener.port())};
}

}  // namespace greenring::worker
