#include "ioloop/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/errno_status.h"
#include "green/scoped_wait.h"
#include "ioloop/io.h"

namespace greenring::ioloop {
namespace {

// Waits for the whole, however long the peer takes; the completion is the reader's signal.
constexpr int kReportedSendFlags = MSG_NOSIGNAL | MSG_WAITALL;

// One operation of WriteUncopied: large enough to cost nothing, small enough to show progress.
constexpr size_t kUncopiedBytesPerSendMax = 1024 * 1024;

// What a pipe holds by default.
constexpr size_t kPipeBytes = 64 * 1024;

}  // namespace

struct Stream::Waiter {
  green::GreenThread* thread = nullptr;
  size_t pending_bytes_max = 0;
  // WriteUncopied's data that the kernel has not taken.
  const char* uncopied = nullptr;
  size_t uncopied_bytes = 0;
  // SendFile is using the socket itself.
  bool splicing = false;
};

struct Stream::Linger final : green::Timer, Completion {
  explicit Linger(Stream* stream) : Timer([](Timer* self) { static_cast<Linger*>(self)->End(); }), stream(stream) {}

  void OnComplete(int32_t result, uint32_t flags) override {  // of the shutdown
    in_flight = false;
    if (result < 0) End();
    stream->FlushLater();
  }

  void End() {
    over = true;
    stream->FlushLater();
  }

  Stream* const stream;
  size_t received_bytes = 0;
  bool in_flight = true;
  bool over = false;
};

void ReceiveCompletion::OnComplete(int32_t result, uint32_t flags) {
  static_cast<Stream*>(this)->OnReceived(result, flags);
}

void SendCompletion::OnComplete(int32_t result, uint32_t flags) { static_cast<Stream*>(this)->OnSent(result); }

static_assert(sizeof(Stream) <= 200, "ten thousand idle connections are held");

Stream::Stream(EventLoop* loop, UniqueFd fd, Handler* handler) : loop_(loop), handler_(handler), fd_(std::move(fd)) {}

Stream::~Stream() { GREENRING_CHECK(closed_ && output_head_ == nullptr && waiter_ == nullptr); }

// ---- the end of the turn -------------------------------------------------------------------------------------------

void Stream::Flush() {
  if (has_output() && send_ == SendState::kIdle && !aborting()) StartSend();
  if (close_requested_) {
    FlushClose();  // `this` may be gone
  } else {
    FlushReading();
  }
}

void Stream::FlushReading() {
  if (reading_ && !receive_armed_ && !end_seen_ && !broken()) {
    ArmReceive();
  } else if (!reading_ && receive_armed_) {
    CancelReceive();
  }
}

void Stream::FlushClose() {
  if (aborting()) {
    if (send_ == SendState::kIdle) DropOutput();
    if (send_ != SendState::kIdle && !send_cancelled_) {
      loop_->ring()->Cancel(static_cast<SendCompletion*>(this));
      send_cancelled_ = true;
    }
    if (waiter_ != nullptr && waiter_->splicing && send_ == SendState::kIdle) {
      // Ends whatever SendFile's green thread waits for.
      loop_->ring()->Shutdown(fd_.get(), SHUT_RDWR, static_cast<SendCompletion*>(this));
      send_ = SendState::kReported;
      send_cancelled_ = true;
      waiter_->splicing = false;
    }
  }
  // At once, however long the output takes: what comes from now on is the next owner's.
  if (detach_ && receive_armed_) CancelReceive();
  if (has_output() || send_ != SendState::kIdle || waiter_ != nullptr) return;
  if (!LingerIsOver()) return;
  if (receive_armed_) CancelReceive();
  // In the same submission, behind the cancellation: the socket closes as soon as the receive has let go of it.
  if (fd_.valid() && (!detach_ || aborting())) loop_->ring()->Close(fd_.Release());
  if (receive_armed_) return;
  closed_ = true;
  handler_->OnClosed();
}

bool Stream::LingerIsOver() {
  if (close_mode_ == CloseMode::kLinger && !aborting() && linger_ == nullptr && !end_seen_) {
    linger_ = std::make_unique<Linger>(this);
    loop_->ring()->Shutdown(fd_.get(), SHUT_WR, linger_.get());
    loop_->scheduler()->AddTimer(linger_.get(), loop_->clock()->NowNs() + kLingerTimeoutNs);
  }
  if (linger_ == nullptr) return true;
  if (!linger_->over && !end_seen_ && !aborting()) {
    if (!receive_armed_) ArmReceive();
    return false;
  }
  loop_->scheduler()->RemoveTimer(linger_.get());
  return !linger_->in_flight;
}

// ---- reading -------------------------------------------------------------------------------------------------------

void Stream::StartReading() {
  reading_ = true;
  FlushLater();
}

void Stream::StopReading() {
  reading_ = false;
  FlushLater();
}

void Stream::ArmReceive() {
  // The first receive, and the first after a pause, is a single one: of a connection that carries one request nothing
  // is then left to cancel.
  ReceiveCompletion* const completion = this;
  if (multishot_) {
    loop_->ring()->RecvMultishot(fd_.get(), completion);
  } else {
    loop_->ring()->RecvProvided(fd_.get(), completion);
  }
  receive_armed_ = true;
  receive_cancelled_ = false;
}

void Stream::CancelReceive() {
  if (receive_cancelled_) return;
  loop_->ring()->Cancel(static_cast<ReceiveCompletion*>(this));
  receive_cancelled_ = true;
  multishot_ = false;
}

void Stream::OnReceived(int32_t result, uint32_t flags) {
  if (!(flags & Ring::kMore)) {
    receive_armed_ = false;
    FlushLater();  // to arm the next one, or to go on closing
  }
  if (result > 0) {
    loop_->CountBusy(&busy_mark_);
    loop_->CountReceived(static_cast<size_t>(result));
    multishot_ = reading_;
    if (linger_ != nullptr) {
      linger_->received_bytes += static_cast<size_t>(result);
      if (linger_->received_bytes > kLingerBytesMax) linger_->End();
    } else if (!close_requested_ || detach_) {
      handler_->OnData({loop_->ring()->BufferOf(flags), static_cast<size_t>(result)});
    }
  } else if (result == 0) {
    end_seen_ = true;
    if (!close_requested_) handler_->OnEnd();
  } else if (result != -ECANCELED && result != -ENOBUFS && result != -EINTR) {
    Break(-result);
  }
  if (flags & Ring::kBuffer) loop_->ring()->ReturnBuffer(flags);
}

// ---- writing -------------------------------------------------------------------------------------------------------

char* Stream::Reserve(size_t size) {
  GREENRING_DCHECK(size <= kReserveBytesMax);
  if (output_tail_ == nullptr || output_tail_->writable_bytes() < size) {
    OutputBlock* block = loop_->blocks()->Take();
    if (output_tail_ == nullptr) {
      output_head_ = block;
    } else {
      output_tail_->next = block;
    }
    output_tail_ = block;
  }
  return output_tail_->writable();
}

void Stream::Commit(size_t size) {
  GREENRING_DCHECK(size <= output_tail_->writable_bytes());
  output_tail_->end += static_cast<uint32_t>(size);
  pending_bytes_ += size;
  if (send_ == SendState::kIdle && aborting()) DropOutput();
  if (send_ == SendState::kIdle && pending_bytes_ == 0) return Consume(0);  // gives an unused block back
  FlushLater();
}

void Stream::Append(std::string_view data) {
  while (!data.empty()) {
    const size_t room = output_tail_ != nullptr ? output_tail_->writable_bytes() : 0;
    const size_t size = std::min(data.size(), room > 0 ? room : kReserveBytesMax);
    std::memcpy(Reserve(size), data.data(), size);
    Commit(size);
    data.remove_prefix(size);
  }
}

bool Stream::has_output() const { return pending_bytes_ > 0 || (waiter_ != nullptr && waiter_->uncopied_bytes > 0); }

void Stream::StartSend() {
  Ring* const ring = loop_->ring();
  SendCompletion* const completion = this;
  const char* const uncopied = waiter_ != nullptr ? waiter_->uncopied : nullptr;
  const size_t uncopied_bytes = waiter_ != nullptr ? std::min(waiter_->uncopied_bytes, kUncopiedBytesPerSendMax) : 0;
  if (uncopied_bytes == 0 && output_head_->next == nullptr) {
    // Nearly every answer. Its success is inferred unless somebody waits for it.
    const size_t size = output_head_->readable_bytes();
    if (waiter_ == nullptr && !close_requested_ && !congested_) {
      send_ = SendState::kInferred;
      ring->SendAtOnce(fd_.get(), output_head_->readable(), size, completion);
      return;
    }
    send_ = SendState::kReported;
    ring->Send(fd_.get(), output_head_->readable(), size, kReportedSendFlags, completion);
    return;
  }
  send_ = SendState::kReported;
  if (output_head_ == nullptr) {
    ring->Send(fd_.get(), uncopied, uncopied_bytes, kReportedSendFlags, completion);
    return;
  }
  size_t count = 0;
  const OutputBlock* block = output_head_;
  for (; block != nullptr && count < kOutputBlocksPerSendMax; block = block->next) {
    output_head_->vectors[count++] = {const_cast<OutputBlock*>(block)->readable(), block->readable_bytes()};
  }
  if (block == nullptr && uncopied_bytes > 0) {
    output_head_->vectors[count++] = {const_cast<char*>(uncopied), uncopied_bytes};
  }
  output_head_->message = {};
  output_head_->message.msg_iov = output_head_->vectors;
  output_head_->message.msg_iovlen = count;
  ring->SendMsg(fd_.get(), &output_head_->message, kReportedSendFlags, completion);
}

void Stream::OnSent(int32_t result) {
  const bool was_inferred = send_ == SendState::kInferred;
  send_ = SendState::kIdle;
  send_cancelled_ = false;
  if (result > 0) {
    loop_->CountSent(static_cast<size_t>(result));
    Consume(static_cast<size_t>(result));
  }
  congested_ = was_inferred && pending_bytes_ > 0;
  if (result < 0 && result != -EAGAIN && result != -ECANCELED && result != -EINTR) Break(-result);
  if (aborting()) DropOutput();
  if (waiter_ != nullptr) loop_->scheduler()->Unpark(waiter_->thread);
  if (has_output() || close_requested_) {
    FlushLater();
  } else if (!broken()) {
    handler_->OnFlushed();
  }
}

void Stream::Consume(size_t size) {
  while (output_head_ != nullptr) {
    const size_t taken = std::min(size, output_head_->readable_bytes());
    output_head_->begin += static_cast<uint32_t>(taken);
    pending_bytes_ -= taken;
    size -= taken;
    if (output_head_->readable_bytes() > 0) return;
    OutputBlock* const empty = output_head_;
    output_head_ = empty->next;
    if (output_head_ == nullptr) output_tail_ = nullptr;
    loop_->blocks()->Give(empty);
  }
  if (size == 0) return;
  waiter_->uncopied += size;
  waiter_->uncopied_bytes -= size;
}

void Stream::DropOutput() {
  Consume(pending_bytes_);
  if (waiter_ != nullptr) waiter_->uncopied_bytes = 0;
}

void Stream::Break(int error_number) {
  if (broken()) return;
  error_number_ = error_number;
  if (send_ == SendState::kIdle) DropOutput();
  if (waiter_ != nullptr) loop_->scheduler()->Unpark(waiter_->thread);
  FlushLater();
  if (!close_requested_) handler_->OnError(error_number);
}

// ---- on a green thread ---------------------------------------------------------------------------------------------

absl::Status Stream::ErrorStatus() const {
  if (!broken()) return absl::CancelledError("the connection is being closed");
  return absl::UnavailableError(absl::StrCat("connection: ", std::strerror(error_number_)));
}

absl::Status Stream::Wait(Waiter* waiter) {
  GREENRING_CHECK(waiter_ == nullptr);
  green::Scheduler* const scheduler = loop_->scheduler();
  waiter->thread = scheduler->current();
  waiter_ = waiter;
  const green::ScopedWait noted(waiter->thread, {.call = "response to client", .fd = fd()});
  absl::Status status;
  while (status.ok()) {
    if (aborting()) {
      status = ErrorStatus();
    } else if (waiter->uncopied_bytes == 0 && pending_bytes_ <= waiter->pending_bytes_max) {
      break;
    } else {
      FlushLater();
      if (scheduler->Park() == green::ParkResult::kCancelled) status = absl::CancelledError("while sending");
    }
  }
  if (!status.ok() && waiter->uncopied != nullptr) {
    // The kernel may still be reading the caller's memory.
    if (send_ != SendState::kIdle && !send_cancelled_) {
      loop_->ring()->Cancel(static_cast<SendCompletion*>(this));
      send_cancelled_ = true;
    }
    while (send_ != SendState::kIdle) scheduler->ParkUncancellable();
  }
  waiter_ = nullptr;
  if (close_requested_) FlushLater();
  return status;
}

absl::Status Stream::WaitFlushed(size_t pending_bytes_max) {
  if (pending_bytes_ <= pending_bytes_max && !aborting()) return absl::OkStatus();
  Waiter waiter;
  waiter.pending_bytes_max = pending_bytes_max;
  return Wait(&waiter);
}

absl::Status Stream::WriteUncopied(std::string_view data) {
  Waiter waiter;
  waiter.uncopied = data.data();
  waiter.uncopied_bytes = data.size();
  return Wait(&waiter);
}

absl::StatusOr<size_t> Stream::SendFile(int fd, int64_t offset, size_t size) {
  if (absl::Status status = WaitFlushed(); !status.ok()) return status;
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) < 0) return ErrnoToStatus(errno, "pipe2");
  const UniqueFd pipe_read(pipe_fds[0]);
  const UniqueFd pipe_write(pipe_fds[1]);
  Waiter waiter;
  waiter.thread = loop_->scheduler()->current();
  waiter.splicing = true;
  waiter_ = &waiter;
  absl::StatusOr<size_t> sent = SpliceFile(pipe_read.get(), pipe_write.get(), fd, offset, size);
  waiter_ = nullptr;
  if (aborting()) sent = ErrorStatus();
  if (close_requested_) FlushLater();
  return sent;
}

absl::StatusOr<size_t> Stream::SpliceFile(int pipe_read, int pipe_write, int fd, int64_t offset, size_t size) {
  size_t sent = 0;
  while (sent < size && !aborting()) {
    const size_t wanted = std::min(size - sent, kPipeBytes);
    int32_t piped = Splice(loop_, fd, offset + static_cast<int64_t>(sent), pipe_write, -1, wanted, SPLICE_F_MOVE);
    if (piped < 0) return ErrnoToStatus(-piped, "splice from the file", fd);
    if (piped == 0) break;  // its end
    while (piped > 0 && !aborting()) {
      const unsigned more = sent + static_cast<size_t>(piped) < size ? SPLICE_F_MORE : 0;
      const int32_t moved = Splice(loop_, pipe_read, -1, fd_.get(), -1, static_cast<size_t>(piped),
                                   SPLICE_F_MOVE | SPLICE_F_NONBLOCK | more);
      if (moved == -EAGAIN) {
        const int32_t ready = Poll(loop_, fd_.get(), POLLOUT);
        if (ready < 0) return ErrnoToStatus(-ready, "poll of the socket");
      } else if (moved < 0) {
        return ErrnoToStatus(-moved, "splice to the socket");
      } else {
        loop_->CountSent(static_cast<size_t>(moved));
        piped -= moved;
        sent += static_cast<size_t>(moved);
      }
    }
  }
  return sent;
}

// ---- closing -------------------------------------------------------------------------------------------------------

void Stream::Close(CloseMode mode) {
  if (close_requested_ && mode <= close_mode_) return;
  close_requested_ = true;
  close_mode_ = mode;
  if (aborting() && waiter_ != nullptr) loop_->scheduler()->Unpark(waiter_->thread);
  FlushLater();
}

void Stream::Detach() {
  GREENRING_CHECK(waiter_ == nullptr);
  if (close_requested_) return;
  detach_ = true;
  Close(CloseMode::kFlush);
}

}  // namespace greenring::ioloop
