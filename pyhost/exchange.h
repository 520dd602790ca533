// One request and its response, as the Python side sees them. worker/ implements it over a connection.
//
//   RequestInfo request{connection.head(), connection.peer(), *listener.environ_template()};
//   handler.Handle(request, &connection);         // calls SendComplete, or SendHead, SendBody..., Finish
//
// An error Status from any call means that the client is gone (or the server gave the connection up): nothing that is
// sent later arrives, the Python side ends the request quietly. Called with the GIL held, on the green thread that runs
// the request; what parks lets other green threads run, and the switch hook (gil.h) takes care of the GIL.
#pragma once

#include <arpa/inet.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protocol/request_head.h"
#include "protocol/response_encoder.h"

namespace greenring::pyhost {

class EnvironTemplate;

// Who is at the other end: 20 bytes, so that each connection can keep one.
struct PeerAddress {
  enum class Family : uint8_t { kUnix, kIpv4, kIpv6 };

  uint8_t ip[16] = {};  // network byte order; the first four bytes for kIpv4
  uint16_t port = 0;    // host byte order
  Family family = Family::kUnix;

  // "192.0.2.1", "2001:db8::1"; empty for kUnix.
  std::string IpText() const {
    if (family == Family::kUnix) return {};
    char text[INET6_ADDRSTRLEN];
    inet_ntop(family == Family::kIpv4 ? AF_INET : AF_INET6, ip, text, sizeof(text));
    return text;
  }

  bool operator==(const PeerAddress&) const = default;
};

// What is known of a request before its body is read. The references must stay valid until Handle returns.
struct RequestInfo {
  const protocol::RequestHead& head;
  const PeerAddress& peer;
  const EnvironTemplate& listener;  // of the listening socket it came through
};

class Exchange {
 public:
  // The next bytes of the request's body: at least one, or 0 at its end. Sends `100 Continue` first where the client
  // waits for it. INVALID_ARGUMENT when the body breaks its framing. Parks.
  virtual absl::StatusOr<size_t> ReadBody(char* data, size_t size) = 0;

  // Head and whole body at once, and the end of the response: the hot path, instead of SendHead, SendBody and Finish.
  // `head` and `body` are copied or sent before it returns. May park on back-pressure. Parks.
  virtual absl::Status SendComplete(const protocol::ResponseEncoder& head, std::string_view body) = 0;

  // The head, once. `body_bytes` is the body's whole size if known, else -1. Buffered. Never parks.
  virtual absl::Status SendHead(const protocol::ResponseEncoder& head, int64_t body_bytes) = 0;

  // A piece of the body, not empty, after SendHead. Copied or sent before it returns; what the framing has no room for
  // (HEAD, 304, beyond Content-Length) is dropped. Parks for back-pressure.
  virtual absl::Status SendBody(std::string_view data) = 0;

  // `size` bytes of the regular file `fd` from `offset`, as SendBody would send them, without copying them through user
  // space. Returns how many the file gave: fewer when it ends early. Parks.
  virtual absl::StatusOr<int64_t> SendFile(int fd, int64_t offset, int64_t size) = 0;

  // Hands everything buffered to the kernel now, before the application computes on. Parks at most briefly.
  virtual absl::Status Flush() = 0;

  // The response is complete: writes the end of its framing. Once, after SendHead, unless a call failed. Never parks.
  virtual absl::Status Finish() = 0;

  // The response has begun and cannot be completed: the connection must close so that the client notices. Never parks.
  virtual void Abort() = 0;

 protected:
  ~Exchange() = default;
};

}  // namespace greenring::pyhost
