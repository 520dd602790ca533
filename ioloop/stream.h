// One connected socket on the loop: data arrives by multishot receive into provided buffers, output leaves as one
// batched send a turn.
//
//   class Connection final : public Stream::Handler { ... };
//   Stream stream(&loop, std::move(fd), &connection);
//   stream.StartReading();
//   std::memcpy(stream.Reserve(n), response, n);
//   stream.Commit(n);                     // sent at the end of the turn, together with all other streams' output
//   stream.Close(CloseMode::kFlush);      // OnClosed follows, and only then may the stream be destroyed
//
// An idle stream owns no buffer: input buffers belong to the ring, output blocks to the loop's pool. The handler is
// called in the loop's context and never parks; it must not destroy the stream before OnClosed. Loop's thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/intrusive_list.h"
#include "base/unique_fd.h"
#include "ioloop/event_loop.h"
#include "ioloop/output_block.h"
#include "ioloop/ring.h"

namespace greenring::ioloop {

enum class CloseMode : uint8_t {
  kFlush,   // send what is pending, then close
  kLinger,  // as kFlush, then shut down for writing and read and drop input until the peer closes (at most
            // kLingerBytesMax, kLingerTimeoutNs): a close with unread input would reset the connection and may destroy
            // the response on its way (RFC 9112 section 9.6)
  kAbort,   // close now; pending output is lost
};

class Stream : public ListLink /* in the loop's list of streams with output to send */ {
 public:
  class Handler {
   public:
    // Bytes from the peer, valid during this call only.
    virtual void OnData(std::string_view data) = 0;
    // The peer has finished sending (FIN). Output may go on.
    virtual void OnEnd() = 0;
    // The connection broke (reset, timed out, ...), positive errno; Close is still to be called. Pending output is lost.
    virtual void OnError(int error_number) = 0;
    // Everything that was pending has been taken by the kernel.
    virtual void OnFlushed() = 0;
    // After Close, when no operation is in flight: the stream may be destroyed (from within this call too).
    virtual void OnClosed() = 0;

   protected:
    ~Handler() = default;
  };

  Stream(EventLoop* loop, UniqueFd fd, Handler* handler);
  ~Stream();  // checked: closed

  // Reading starts stopped. StopReading is not immediate: data that is already on its way may still arrive (at most the
  // ring's provided buffers' worth).
  void StartReading();
  void StopReading();

  // Room for `size` bytes of output (at most kReserveBytesMax), contiguous; Commit says how many were written. Nothing
  // may be appended between the two. Never parks.
  char* Reserve(size_t size);
  void Commit(size_t size);

  // Copies `data`, of any size, behind the pending output. Never parks.
  void Append(std::string_view data);

  // Bytes committed and not yet taken by the kernel.
  size_t pending_output_bytes() const;

  // On a green thread: waits until at most `pending_bytes_max` bytes are pending. The connection's error (UNAVAILABLE
  // family, by errno) if it broke. Parks.
  absl::Status WaitFlushed(size_t pending_bytes_max = 0);

  // On a green thread: sends `data` behind the pending output without copying it. Parks until the kernel has taken it.
  absl::Status WriteUncopied(std::string_view data);

  // On a green thread: sends `size` bytes of the file `fd` from `offset` behind the pending output, in the kernel
  // (splice through a pipe). Returns how many were sent: fewer at the file's end. Parks until they are sent.
  absl::StatusOr<size_t> SendFile(int fd, int64_t offset, size_t size);

  // Idempotent; a later, harsher mode wins. Wakes green threads waiting above with an error when kAbort.
  void Close(CloseMode mode);

  bool broken() const;
  int fd() const;

  static constexpr size_t kReserveBytesMax = kOutputBlockBytes;
  static constexpr size_t kLingerBytesMax = 256 * 1024;
  static constexpr int64_t kLingerTimeoutNs = 2 * kNanosecondsPerSecond;
};

}  // namespace greenring::ioloop
