// A socket that listens: how it is opened, and what becomes of a unix socket's file.
//
//   absl::StatusOr<ListeningSocket> socket = ListeningSocket::Open("localhost:8080");   // or "[::1]:0", "*:80", ":80",
//                                                                                       // "unix:/run/app.sock"
//   Log(socket->address());                                          // with the port that the kernel chose for 0
//
// Closed, and its file removed, when the object dies. One thread at a time. Open may ask the resolver, which blocks.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace greenring {

struct ListeningSocketOptions {
  int backlog = 4096;       // the kernel lowers it to net.core.somaxconn
  bool reuse_port = false;  // more sockets may listen on the port (OpenAnother): the kernel spreads connections
  // TCP: a connection is accepted when its first bytes have come, so that its first receive finds them. Halves the cost
  // of a connection that carries one request. One that stays silent is accepted after a second.
  bool defer_accept = true;
  int unix_mode = 0666;  // permissions of a unix socket's file
};

class ListeningSocket {
 public:
  // Binds and listens. `address`: "host:port" with an IPv4 address, an IPv6 address in brackets, a name from the
  // resolver, or "*" or nothing for all addresses (IPv6 and IPv4 by one socket where the kernel has IPv6); or
  // "unix:/path". A socket file on which nobody listens is replaced; one in use is an error (ALREADY_EXISTS, as an
  // address in use).
  static absl::StatusOr<ListeningSocket> Open(std::string_view address, const ListeningSocketOptions& options = {});

  // Takes over a socket that listens already. Its file stays.
  static absl::StatusOr<ListeningSocket> Adopt(UniqueFd fd);

  ListeningSocket() = default;  // none
  ListeningSocket(ListeningSocket&& other) noexcept;
  ListeningSocket& operator=(ListeningSocket&& other) noexcept;
  ~ListeningSocket() { Close(); }

  // One more on the same address, which only processes of the same user can have. TCP; both with reuse_port.
  absl::StatusOr<ListeningSocket> OpenAnother(const ListeningSocketOptions& options) const;

  void Close();

  int fd() const { return fd_.get(); }
  // As for the log and for clients: "127.0.0.1:8080", "[::]:8080", "unix:/run/app.sock".
  const std::string& address() const { return address_; }
  int port() const { return port_; }  // 0 for a unix socket

 private:
  absl::Status OpenUnix(const std::string& path, const ListeningSocketOptions& options);
  absl::Status OpenTcp(std::string_view address, const ListeningSocketOptions& options);
  absl::Status BindAndListen(const sockaddr_storage& to, std::string_view text, const ListeningSocketOptions& options,
                             bool joins);
  absl::Status ReadAddress();

  UniqueFd fd_;
  std::string address_;
  int port_ = 0;
  bool all_addresses_ = false;
  std::string unlink_path_;  // the file of our own unix socket, and which file that was
  uint64_t unlink_device_ = 0;
  uint64_t unlink_inode_ = 0;
};

}  // namespace greenring
