// One connected socket on the loop: data arrives in provided buffers, output leaves as one batched send a turn.
//
//   class Connection final : public Stream::Handler { ... };
//   Stream stream(&loop, std::move(fd), &connection);
//   stream.StartReading();
//   std::memcpy(stream.Reserve(n), response, n);
//   stream.Commit(n);                     // sent at the end of the turn, together with all other streams' output
//   stream.Close(CloseMode::kFlush);      // OnClosed follows, and only then may the stream be destroyed
//
// An idle stream owns no buffer: input buffers belong to the ring, output blocks to the loop's pool. The handler is
// called in the loop's context, never from within a call of the stream, and never parks; it must not destroy the stream
// before OnClosed. Loop's thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
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

// The completions of a stream's two operations; bases instead of members, so that neither needs a pointer back.
class ReceiveCompletion : public Completion {
  void OnComplete(int32_t result, uint32_t flags) final;
};
class SendCompletion : public Completion {
  void OnComplete(int32_t result, uint32_t flags) final;
};

class Stream final : private Flushable, private ReceiveCompletion, private SendCompletion {
 public:
  class Handler {
   public:
    // Bytes from the peer, valid during this call only.
    virtual void OnData(std::string_view data) = 0;
    // The peer has finished sending (FIN). Output may go on.
    virtual void OnEnd() = 0;
    // The connection broke (reset, timed out, ...), positive errno; Close is still to be called. Pending output is
    // lost.
    virtual void OnError(int error_number) = 0;
    // Everything that was pending has been taken by the kernel. When nobody waits for it (no green thread in a call
    // below, no Close) this may come as late as the loop's next event: the success of a send is then not reported by
    // the kernel but inferred.
    virtual void OnFlushed() = 0;
    // After Close, when no operation is in flight: the stream may be destroyed (from within this call too).
    virtual void OnClosed() = 0;

   protected:
    ~Handler() = default;
  };

  Stream(EventLoop* loop, UniqueFd fd, Handler* handler);
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream();  // checked: closed

  // Reading starts stopped. StopReading is not immediate: data that is already on its way may still arrive (at most the
  // ring's provided buffers' worth).
  void StartReading();
  void StopReading();

  // Room for `size` bytes of output (at most kReserveBytesMax), contiguous; Commit says how many were written. Between
  // the two nothing may be appended, and the green thread may not park. Never parks.
  char* Reserve(size_t size);
  void Commit(size_t size);

  // Copies `data`, of any size, behind the pending output. Never parks.
  void Append(std::string_view data);

  // Bytes committed and not yet known to be taken by the kernel.
  size_t pending_output_bytes() const { return pending_bytes_; }

  // The three below: on a green thread, one at a time. The connection's error (by errno; CANCELLED after a Cancel of
  // the green thread or Close(kAbort)) if it broke.

  // Waits until at most `pending_bytes_max` bytes are pending. Parks.
  absl::Status WaitFlushed(size_t pending_bytes_max = 0);

  // Sends `data` behind the pending output without copying it. Nothing may be appended until it returns. After an error
  // an unknown part of it was sent: all that is left is Close(kAbort). Parks until the kernel has taken it.
  absl::Status WriteUncopied(std::string_view data);

  // Sends `size` bytes of the file `fd` from `offset` behind the pending output, in the kernel (splice through a pipe).
  // Returns how many were sent: fewer at the file's end. Parks until they are sent.
  absl::StatusOr<size_t> SendFile(int fd, int64_t offset, size_t size);

  // Idempotent; a later, harsher mode wins. Wakes a green thread waiting above with an error when kAbort.
  void Close(CloseMode mode);

  // Ends the stream, but not the connection: sends what is pending, stops receiving, and OnClosed follows, in which
  // TakeFd has the socket. What was received until then is still given to OnData; what was not is the next owner's. No
  // green thread may be in a call above. A Close(kAbort), or an error, meanwhile closes the socket. Never parks.
  void Detach();

  // In OnClosed after Detach: the socket; invalid when the connection broke. Never parks.
  UniqueFd TakeFd() { return std::move(fd_); }

  bool broken() const { return error_number_ != 0; }
  bool closing() const { return close_requested_; }
  int fd() const { return fd_.get(); }

  static constexpr size_t kReserveBytesMax = kOutputBlockBytes;
  static constexpr size_t kLingerBytesMax = 256 * 1024;
  static constexpr int64_t kLingerTimeoutNs = 2 * kNanosecondsPerSecond;

 private:
  friend class ReceiveCompletion;
  friend class SendCompletion;
  struct Waiter;  // on the stack of the green thread that waits
  struct Linger;  // made when a close lingers

  enum class SendState : uint8_t {
    kIdle,
    kInferred,  // in flight; success shows at the loop's next event
    kReported,  // in flight; completes as soon as the kernel has taken everything
  };

  void Flush() override;
  void FlushLater() { loop_->FlushLater(this); }
  void FlushReading();
  void FlushClose();
  void OnReceived(int32_t result, uint32_t flags);
  void OnSent(int32_t result);
  void ArmReceive();
  void CancelReceive();
  void StartSend();
  void Consume(size_t size);
  void DropOutput();
  void Break(int error_number);
  bool LingerIsOver();
  bool aborting() const { return broken() || (close_requested_ && close_mode_ == CloseMode::kAbort); }
  bool has_output() const;
  absl::Status Wait(Waiter* waiter);
  absl::StatusOr<size_t> SpliceFile(int pipe_read, int pipe_write, int fd, int64_t offset, size_t size);
  absl::Status ErrorStatus() const;

  EventLoop* const loop_;
  Handler* const handler_;
  OutputBlock* output_head_ = nullptr;
  OutputBlock* output_tail_ = nullptr;
  size_t pending_bytes_ = 0;  // in the blocks
  Waiter* waiter_ = nullptr;
  std::unique_ptr<Linger> linger_;
  UniqueFd fd_;
  int error_number_ = 0;
  uint32_t busy_mark_ = 0;  // the loop's: the last epoch in which something was received
  SendState send_ = SendState::kIdle;
  bool send_cancelled_ = false;  // no second Cancel for the operation in flight
  bool congested_ = false;       // the last send left something: the next one is a reported one
  CloseMode close_mode_ = CloseMode::kFlush;
  bool close_requested_ = false;
  bool detach_ = false;  // the close leaves the socket open
  bool closed_ = false;
  bool reading_ = false;            // wanted
  bool receive_armed_ = false;      // in flight
  bool receive_cancelled_ = false;  // and its cancellation too
  bool multishot_ = false;          // the next receive is a multishot one
  bool end_seen_ = false;
};

}  // namespace greenring::ioloop
