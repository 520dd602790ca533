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
#include <optional>
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
  const EnvironTemplate& listener;   // of the listening socket it came through
  std::string_view request_id = {};  // ASCII; for logs and the environ
  // So many bytes of the decoded path are where the application is mounted: SCRIPT_NAME; PATH_INFO is the rest.
  size_t script_name_bytes = 0;
};

// Why a request ends although its application has not finished with it.
enum class CutShort : uint8_t {
  kNo,
  kTimedOut,      // its deadline has passed: the client is told 504, or its connection is closed
  kDisconnected,  // the client is gone, and the request was to end with it
  kDraining,      // the worker's drain has taken too long
  kCancelled,     // by an operator: the client is told 503, or its connection is closed
};

class Exchange {
 public:
  // Who can interrupt the application. Called in any context of the scheduler's OS thread, with or without the GIL.
  class Interrupter {
   public:
    // The request shall end for this reason, which is neither kNo nor kCancelled. Once for each of them, for kTimedOut
    // a second time if it is close() that takes too long. Never parks.
    virtual void OnCutShort(CutShort reason) = 0;

    // An operator has cancelled it, and says why; as often as they do. Never parks.
    virtual void OnCancelled(const std::string& reason) = 0;

    // It went on for the whole grace after a kTimedOut: the client has been answered meanwhile, or cut off. Never
    // parks.
    virtual void OnOverdue() = 0;

    // What the application is in the middle of, a line each, innermost last; empty: no Python code. GIL held. Never
    // parks.
    virtual std::string PythonStack() = 0;

   protected:
    ~Interrupter() = default;
  };

  // The next bytes of the request's body: at least one, or 0 at its end. Sends `100 Continue` first where the client
  // waits for it. INVALID_ARGUMENT when the body breaks its framing. Parks.
  virtual absl::StatusOr<size_t> ReadBody(char* data, size_t size) = 0;

  // The same, but waits for it at most `timeout_ns`; 0: does not wait. DEADLINE_EXCEEDED: none has come, and the body
  // can be read on. Parks.
  virtual absl::StatusOr<size_t> ReadBodyWithin(char* data, size_t size, int64_t timeout_ns) = 0;

  // How much of the current chunk of the body is still to come; 0 between chunks, and in a body that has none. Never
  // parks.
  virtual int64_t chunk_left_bytes() const = 0;

  // What the head says: Content-Length; -1: nothing. Never parks.
  virtual int64_t content_length() const = 0;

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

  // The client's connection ends now, behind what was sent, whatever the application still does: nothing reaches the
  // client any more, and that the client is gone does not interrupt the application. Never parks.
  virtual void Disconnect() = 0;

  // ---- for applications; none of these parks ----

  // Unlike that of every other request of this process.
  virtual uint64_t number() const = 0;

  // The descriptor of the client's connection, which is the server's: to be duplicated, not closed or read. -1: none.
  virtual int client_fd() const = 0;

  // What the access log's line of this request is to have besides; the last value of a name counts.
  virtual void SetLogVariable(std::string_view name, std::string_view value) = 0;
  virtual std::optional<std::string> LogVariable(std::string_view name) const = 0;

  // ---- the end that a request is given from outside; none of these parks ----

  // Who is told, from now on; nullptr: nobody. OnCutShort may be called from within for what has happened before.
  virtual void SetInterrupter(Interrupter* interrupter) = 0;

  // When the request was queued for a core, by the scheduler's clock: the client waits from then on.
  virtual int64_t started_ns() const = 0;

  // When it will be kTimedOut; kNeverNs: not at all.
  virtual int64_t deadline_ns() const = 0;

  // Another deadline, counted from started_ns(); kNeverNs: none. No effect once the deadline has passed.
  virtual void SetTimeout(int64_t timeout_ns) = 0;

  // Whether the client's disconnect is to end the request: at once if it has disconnected already.
  virtual void SetCancelOnDisconnect(bool cancel) = 0;

  // The iterable's close() is about to run: it is given the whole grace before it is interrupted.
  virtual void BeginClose() = 0;

  // The first reason there was. Not kTimedOut if the response was complete by then.
  virtual CutShort cut_short() const = 0;

 protected:
  ~Exchange() = default;
};

}  // namespace greenring::pyhost
