// A listening socket and the accepting on it.
//
//   auto listener = Listener::Open("localhost:8080");         // or "[::1]:0", "*:80", ":80", "unix:/run/app.sock"
//   (*listener)->Start(&loop, &handler);                      // handler.OnAccept(fd) for each connection
//   Log((*listener)->address());                              // with the port that the kernel chose for 0
//   (*listener)->Stop();                                      // handler.OnStopped() follows
//
// One multishot accept serves all connections, unless others accept beside it. The peer's address is not asked for (a
// system call that most never need): getpeername where it is wanted. Loop's thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/listening_socket.h"
#include "base/unique_fd.h"
#include "green/timer_queue.h"
#include "ioloop/event_loop.h"
#include "ioloop/ring.h"

namespace greenring::ioloop {

using ListenerOptions = ListeningSocketOptions;

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

  // As ListeningSocket::Open.
  static absl::StatusOr<std::unique_ptr<Listener>> Open(std::string_view address, const ListenerOptions& options = {});

  // Takes over a socket that listens already (from a master, or systemd). Others may accept on it too, and a unix
  // socket's file stays. For each connection the kernel wakes one of them: Stop takes what is in the queue then, up to
  // kTakenAtTheEndMax, since it may be this one that was woken, and the others would sleep on. `by_turns`: others do
  // all the time. Then one connection is accepted at a time, which puts this process behind the others in the kernel's
  // queue; a multishot accept keeps its place, and the first in the queue would get every connection
  // (docs/PROCESSES.md).
  static absl::StatusOr<std::unique_ptr<Listener>> Adopt(UniqueFd fd, bool by_turns = false);

  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener();  // checked: not started, or stopped

  // Accepts from now on. Once.
  void Start(EventLoop* loop, Handler* handler);

  // Ends accepting, but first takes what the kernel has queued, and with defer_accept for kLastCallNs what still comes:
  // a client whose connect succeeded gets an answer. (A connection completed between the last accept and the close,
  // some microseconds, is still reset.) Idempotent.
  void Stop();

  const std::string& address() const { return socket_.address(); }
  int port() const { return socket_.port(); }  // 0 for a unix socket
  int fd() const { return socket_.fd(); }

  // Out of file descriptors (or of the kernel's memory for sockets): accepting rests so long before it tries again.
  static constexpr int64_t kExhaustedPauseNs = 100 * kNanosecondsPerMillisecond;

  // Of a socket that others accept on. Where more than that waits, more comes, which wakes them.
  static constexpr int kTakenAtTheEndMax = 64;

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

  Listener(ListeningSocket socket, bool adopted, bool by_turns, bool deferred)
      : socket_(std::move(socket)), adopted_(adopted), by_turns_(by_turns), deferred_(deferred), timer_(this) {}
  void MoveTo(State next);
  void OnComplete(int32_t result, uint32_t flags) override;
  void Flush() override;
  void Accept();
  void Pause(int error_number);
  void OnTimer();
  void AcceptQueued();
  bool TakeOneMore();

  ListeningSocket socket_;
  const bool adopted_;
  const bool by_turns_;
  const bool deferred_;             // TCP_DEFER_ACCEPT is set
  bool exhaustion_logged_ = false;  // since the last accept that succeeded
  int taken_at_the_end_ = 0;
  State state_ = State::kOpen;
  EventLoop* loop_ = nullptr;
  Handler* handler_ = nullptr;
  StateTimer timer_;  // ends kPaused or kLastCall
};

}  // namespace greenring::ioloop
