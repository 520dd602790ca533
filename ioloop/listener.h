// A listening socket and the accepting on it.
//
//   auto listener = Listener::Open("localhost:8080");         // or "[::1]:0", "*:80", ":80", "unix:/run/app.sock"
//   (*listener)->Start(&loop, &handler);                      // handler.OnAccept(fd) for each connection
//   Log((*listener)->address());                              // with the port that the kernel chose for 0
//   (*listener)->Stop();                                      // handler.OnStopped() follows
//
// One multishot accept serves all connections. The peer's address is not asked for (a system call that most never
// need): getpeername where it is wanted. Loop's thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "green/timer_queue.h"
#include "ioloop/event_loop.h"
#include "ioloop/ring.h"

namespace greenring::ioloop {

struct ListenerOptions {
  int backlog = 4096;       // the kernel lowers it to net.core.somaxconn
  bool reuse_port = false;  // several processes listen on the port, the kernel spreads connections over them
  // TCP: a connection is accepted when its first bytes have come, so that its first receive finds them. Halves the cost
  // of a connection that carries one request. One that stays silent is accepted after a second.
  bool defer_accept = true;
  int unix_mode = 0666;  // permissions of a unix socket's file
};

class Listener final : private Completion, private Flushable {
 public:
  class Handler {
   public:
    // A new connection: non-blocking, close-on-exec.
    virtual void OnAccept(UniqueFd fd) = 0;
    // After Start and Stop: nothing more comes, the socket is closed, the listener may be destroyed (from within this
    // call too).
    virtual void OnStopped() = 0;

   protected:
    ~Handler() = default;
  };

  // Binds and listens. `address`: "host:port" with an IPv4 address, an IPv6 address in brackets, a name from the
  // resolver, or "*" or nothing for all addresses (IPv6 and IPv4 by one socket where the kernel has IPv6); or
  // "unix:/path". A socket file on which nobody listens is replaced; one in use is an error.
  static absl::StatusOr<std::unique_ptr<Listener>> Open(std::string_view address, const ListenerOptions& options = {});

  // Takes over a socket that listens already (from a master, or systemd). Others may accept on it too: Stop leaves what
  // is in its queue to them, and a unix socket's file stays.
  static absl::StatusOr<std::unique_ptr<Listener>> Adopt(UniqueFd fd);

  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener();  // checked: not started, or stopped

  // Accepts from now on. Once.
  void Start(EventLoop* loop, Handler* handler);

  // Ends accepting, but first takes what the kernel has queued, and with defer_accept for kLastCallNs what still comes:
  // a client whose connect succeeded gets an answer. (A connection completed between the last accept and the close,
  // some microseconds, is still reset.) Idempotent.
  void Stop();

  // As for the log and for clients: "127.0.0.1:8080", "[::]:8080", "unix:/run/app.sock".
  const std::string& address() const { return address_; }
  int port() const { return port_; }  // 0 for a unix socket
  int fd() const { return fd_.get(); }

  // Out of file descriptors (or of the kernel's memory for sockets): accepting rests so long before it tries again.
  static constexpr int64_t kExhaustedPauseNs = 100 * kNanosecondsPerMillisecond;

  // Between a client's handshake and its first bytes: the time it needs to write them, whatever the distance.
  static constexpr int64_t kLastCallNs = 20 * kNanosecondsPerMillisecond;

 private:
  enum class State : uint8_t {
    kOpen,       // not started
    kAccepting,  // an accept is in flight
    kPaused,     // out of descriptors; the timer is armed
    kLastCall,   // Stop was called, an accept is in flight until the timer fires
    kStopping,   // the accept is being cancelled, or only the end of the turn is missing
    kStopped,    // the socket is closed
  };
  struct StateTimer : green::Timer {
    explicit StateTimer(Listener* owner);
    Listener* const owner;
  };

  Listener() : timer_(this) {}
  absl::Status OpenUnix(const std::string& path, const ListenerOptions& options);
  absl::Status OpenTcp(std::string_view address, const ListenerOptions& options);
  absl::Status ReadAddress();
  void MoveTo(State next);
  void OnComplete(int32_t result, uint32_t flags) override;
  void Flush() override;
  void Accept();
  void Pause(int error_number);
  void OnTimer();
  void AcceptQueued();
  void CloseSocket();

  UniqueFd fd_;
  std::string address_;
  std::string unlink_path_;  // the file of our own unix socket, and which file that was
  uint64_t unlink_device_ = 0;
  uint64_t unlink_inode_ = 0;
  int port_ = 0;
  bool adopted_ = false;
  bool deferred_ = false;           // TCP_DEFER_ACCEPT is set
  bool exhaustion_logged_ = false;  // since the last accept that succeeded
  State state_ = State::kOpen;
  EventLoop* loop_ = nullptr;
  Handler* handler_ = nullptr;
  StateTimer timer_;  // ends kPaused or kLastCall
};

}  // namespace greenring::ioloop
