#include "worker/http_exchange.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "base/check.h"
#include "green/scoped_wait.h"
#include "ioloop/stream.h"
#include "protocol/simple_response.h"
#include "worker/connection.h"
#include "worker/http_service.h"

namespace greenring::worker {
namespace {

// An unread body of at most this many bytes is read and dropped so that the connection can be kept; beyond it a new
// connection is cheaper for everybody.
constexpr int64_t kSkipBytesMax = 64 * 1024;

// Pieces of a body from this size on are sent from where they are instead of being copied into output blocks.
constexpr size_t kUncopiedBytesMin = 16 * 1024;
// One uncopied send; the client's progress is noticed between two of them.
constexpr size_t kUncopiedBytesMax = 1024 * 1024;

// A core waits once this much output is pending, until it is down to half.
constexpr size_t kPendingOutputBytesMax = 64 * 1024;

// While it lives the core waits for the client, whose time without progress is limited.
class ClientWait {
 public:
  explicit ClientWait(Connection* connection) : connection_(connection) { connection_->StartWait(); }
  ~ClientWait() { connection_->EndWait(); }
  ClientWait(const ClientWait&) = delete;
  ClientWait& operator=(const ClientWait&) = delete;

 private:
  Connection* const connection_;
};

}  // namespace

void HttpExchange::BeginRequest() {
  HttpService* const service = connection_->service();
  number_ = service->NextRequestNumber();
  watch_.Begin(service->scheduler(), service->WatchOptionsFor(head_.path));
  queued_ticks_ = service->request_now_ticks();
}

void HttpExchange::BeginRun(green::GreenThread* thread, int64_t generation) {
  const green::Scheduler* const scheduler = thread->scheduler();
  const uint64_t now_ticks = scheduler->NowTicks();
  run_ = {.thread = thread,
          .generation = generation,
          .began_ticks = now_ticks,
          .run_ticks_before = thread->run_ticks() + (now_ticks - scheduler->switched_at_ticks()),
          .switches_before = thread->switches()};
  connection_->service()->mutable_statistics()->OnTaken(QueuedNs());
}

int64_t HttpExchange::QueuedNs() const {
  const green::Scheduler* const scheduler = connection_->service()->scheduler();
  const uint64_t until_ticks = run_.thread != nullptr ? run_.began_ticks : scheduler->NowTicks();
  return until_ticks > queued_ticks_ ? scheduler->TicksToNs(until_ticks - queued_ticks_) : 0;
}

int64_t HttpExchange::RunNs() const {
  if (run_.thread == nullptr) return 0;
  const green::Scheduler* const scheduler = run_.thread->scheduler();
  return scheduler->TicksToNs(scheduler->NowTicks() - run_.began_ticks);
}

int64_t HttpExchange::CpuNs() const {
  if (run_.thread == nullptr) return 0;
  const green::Scheduler* const scheduler = run_.thread->scheduler();
  uint64_t run_ticks = run_.thread->run_ticks();
  if (scheduler->current() == run_.thread) run_ticks += scheduler->NowTicks() - scheduler->switched_at_ticks();
  const int64_t own_ns =
      run_ticks > run_.run_ticks_before ? scheduler->TicksToNs(run_ticks - run_.run_ticks_before) : 0;
  if (run_.greenlet != nullptr) return own_ns + run_.greenlet->RunNs();
  return own_ns + (run_.os_thread != nullptr ? run_.os_thread->CpuNs() : 0);
}

uint64_t HttpExchange::switches() const {
  if (run_.thread == nullptr) return 0;
  return run_.thread->switches() - run_.switches_before + (run_.greenlet != nullptr ? run_.greenlet->switches() : 0);
}

std::string_view HttpExchange::request_id() {
  if (!request_id_.empty() || number_ == 0) return request_id_;
  request_id_ = RequestIdOfClient(head_);
  if (request_id_.empty()) request_id_ = connection_->service()->request_ids().Write(number_, &id_buffer_);
  return request_id_;
}

void HttpExchange::OnTimedOutInQueue() { connection_->OnTimedOutInQueue(); }

void HttpExchange::OnCutShort(pyhost::CutShort reason) {
  if (reason == pyhost::CutShort::kDisconnected) failed_ = true;  // nothing is sent any more
}

// The application does not come to an end, but its client does.
void HttpExchange::OnOverdue() {
  const bool answer = status_ == 0 && Usable().ok();
  if (answer) {
    status_ = 504;
    connection_->stream()->Append(protocol::SimpleResponse(status_, {}, AnswerOptions()));
  }
  failed_ = true;
  connection_->OnOverdue(/*answered=*/answer || finished_);
}

void HttpExchange::WakeReader() {
  if (reader_ != nullptr) connection_->service()->scheduler()->Unpark(reader_);
}

HttpExchange::Skip HttpExchange::SkipBody() {
  while (!request_body_.done()) {
    const std::string_view input = next_input()->view();
    if (input.empty()) return Skip::kNeedMore;
    const protocol::BodyDecoder::Step step = request_body_.Decode(input);
    ConsumeInput(step.consumed);
    if (step.state == protocol::BodyDecoder::State::kError) return Skip::kError;
  }
  return Skip::kDone;
}

bool HttpExchange::AnswerAbandoned() {
  if (status_ != 0) return false;
  status_ = 500;
  connection_->stream()->Append(protocol::SimpleResponse(status_, "the request used up its stack", AnswerOptions()));
  return true;
}

void HttpExchange::Orphan() {
  EndRequest();
  SetInterrupter(nullptr);
  failed_ = true;
  reader_ = nullptr;
  head_input_.Clear();  // without input a reader finds out that it has failed
  body_input_.Clear();
  connection_ = nullptr;
}

void HttpExchange::Shrink() {
  head_input_.Reset();
  body_input_.Reset();
}

bool HttpExchange::CanSkipBody() const {
  if (request_body_.done()) return true;
  // A client that waits for 100 Continue may send the body or not: where the next request starts is unknown.
  if (continue_due_) return false;
  return head_.framing == protocol::BodyFraming::kLength && request_body_.remaining_hint() <= kSkipBytesMax;
}

protocol::ResponseRequest HttpExchange::ResponseRequestNow() const {
  return {.version = head_.version,
          .is_head = head_.method == "HEAD",
          .keep_alive = head_.keep_alive && !connection_->service()->draining() && CanSkipBody(),
          .is_uwsgi = head_.is_uwsgi};
}

void HttpExchange::ConsumeInput(size_t size) {
  next_input()->Consume(size);
  connection_->OnInputConsumed();
}

absl::StatusOr<size_t> HttpExchange::ReadBodyWithin(char* data, size_t size, int64_t timeout_ns) {
  using State = protocol::BodyDecoder::State;
  int64_t deadline_ns = kNeverNs;
  if (timeout_ns != kNeverNs && connection_ != nullptr) {
    deadline_ns = InstantAfter(connection_->service()->scheduler()->clock()->NowNs(), timeout_ns);
  }
  while (!request_body_.done()) {
    const std::string_view input = next_input()->view();
    if (input.empty()) {
      absl::Status arrived = WaitForInput(deadline_ns);
      // Nothing is lost: the body can be read on, or be answered.
      if (absl::IsCancelled(arrived) || absl::IsDeadlineExceeded(arrived)) return arrived;
      if (!arrived.ok()) return Failed(arrived);
      continue;
    }
    // Data is never longer than the input it is decoded from.
    const protocol::BodyDecoder::Step step = request_body_.Decode(input.substr(0, size));
    if (step.state == State::kError) return RefuseBody(step);
    if (step.state == State::kData) std::memcpy(data, step.data.data(), step.data.size());
    ConsumeInput(step.consumed);
    if (step.state == State::kData) return step.data.size();
  }
  return 0;
}

absl::Status HttpExchange::WaitForInput(int64_t deadline_ns) {
  absl::Status usable = Usable();
  if (!usable.ok()) return usable;
  if (connection_->input_ended()) return absl::UnavailableError("the client closed the connection within the body");
  if (continue_due_) {
    continue_due_ = false;
    if (status_ == 0) connection_->stream()->Append(protocol::kContinueResponse);
  }
  green::Scheduler* scheduler = connection_->service()->scheduler();
  const ClientWait wait(connection_);
  reader_ = scheduler->current();
  const green::ScopedWait noted(reader_, {.call = "request body", .fd = connection_->stream()->fd()});
  const green::ParkResult result = scheduler->Park(deadline_ns);
  reader_ = nullptr;
  if (result == green::ParkResult::kTimedOut) return absl::DeadlineExceededError("no more of the body has come");
  if (result == green::ParkResult::kCancelled) return absl::CancelledError("the request was cancelled");
  return absl::OkStatus();
}

int64_t HttpExchange::chunk_left_bytes() const {
  const bool has_chunks = head_.framing == protocol::BodyFraming::kChunked;
  return has_chunks ? request_body_.remaining_hint() : 0;
}

void HttpExchange::Disconnect() {
  watch_.SetCancelOnDisconnect(false);
  failed_ = true;
  if (connection_ != nullptr) connection_->Disconnect();
}

int HttpExchange::client_fd() const { return connection_ != nullptr ? connection_->stream()->fd() : -1; }

void HttpExchange::SetLogVariable(std::string_view name, std::string_view value) {
  for (auto& [known, text] : log_variables_) {
    if (known == name) {
      text = value;
      return;
    }
  }
  log_variables_.emplace_back(name, value);
}

std::optional<std::string> HttpExchange::LogVariable(std::string_view name) const {
  for (const auto& [known, text] : log_variables_) {
    if (known == name) return text;
  }
  return std::nullopt;
}

// The framing is broken: no response of the application can help, and what follows cannot be trusted.
absl::Status HttpExchange::RefuseBody(const protocol::BodyDecoder::Step& step) {
  if (status_ == 0) {
    status_ = step.status;
    connection_->stream()->Append(protocol::SimpleResponse(step.status, step.reason, AnswerOptions()));
  }
  return Failed(absl::InvalidArgumentError(step.reason));
}

absl::Status HttpExchange::Usable() const {
  if (failed_) return absl::UnavailableError("the connection can no longer be used");
  if (connection_->broken()) return absl::UnavailableError("the client closed the connection");
  return absl::OkStatus();
}

absl::Status HttpExchange::Failed(const absl::Status& status) {
  failed_ = true;
  return status;
}

absl::Status HttpExchange::SendHead(const protocol::ResponseEncoder& head, int64_t body_bytes) {
  absl::Status usable = Usable();
  if (!usable.ok()) return usable;
  GREENRING_DCHECK(status_ == 0);
  status_ = head.status_code();
  ioloop::Stream* stream = connection_->stream();
  const size_t room = head.head_bytes_max();
  const std::string_view date_line = connection_->service()->DateLine();
  if (room <= ioloop::Stream::kReserveBytesMax) {
    stream->Commit(
        head.EncodeHead(ResponseRequestNow(), body_bytes, date_line, stream->Reserve(room), &response_body_));
    return absl::OkStatus();
  }
  std::string text(room, '\0');
  text.resize(head.EncodeHead(ResponseRequestNow(), body_bytes, date_line, text.data(), &response_body_));
  stream->Append(text);
  return absl::OkStatus();
}

bool HttpExchange::CompletesAtOnce(const protocol::ResponseEncoder& head, std::string_view body) {
  return head.head_bytes_max() + body.size() <= ioloop::Stream::kReserveBytesMax;
}

absl::Status HttpExchange::SendComplete(const protocol::ResponseEncoder& head, std::string_view body) {
  if (!CompletesAtOnce(head, body) || !Usable().ok()) {
    absl::Status sent = SendHead(head, static_cast<int64_t>(body.size()));
    if (sent.ok() && !body.empty()) sent = SendBody(body);
    return sent.ok() ? Finish() : sent;
  }
  status_ = head.status_code();
  ioloop::Stream* stream = connection_->stream();
  char* out = stream->Reserve(head.head_bytes_max() + body.size());
  const size_t head_bytes = head.EncodeHead(ResponseRequestNow(), static_cast<int64_t>(body.size()),
                                            connection_->service()->DateLine(), out, &response_body_);
  // With the whole size known the framing is a length, or no body at all.
  const size_t admitted = response_body_.Admit(body.size());
  if (admitted > 0) std::memcpy(out + head_bytes, body.data(), admitted);
  stream->Commit(head_bytes + admitted);
  response_body_bytes_ = static_cast<int64_t>(admitted);
  response_body_.Finish();
  finished_ = true;
  return absl::OkStatus();
}

absl::Status HttpExchange::SendBody(std::string_view data) {
  absl::Status usable = Usable();
  if (!usable.ok()) return usable;
  data = data.substr(0, response_body_.Admit(data.size()));
  if (data.empty()) return absl::OkStatus();
  response_body_bytes_ += static_cast<int64_t>(data.size());
  ioloop::Stream* stream = connection_->stream();
  if (response_body_.chunked()) {
    char* out = stream->Reserve(protocol::kChunkStartBytesMax);
    stream->Commit(protocol::EncodeChunkStart(data.size(), out));
  }
  absl::Status sent = SendPiece(data);
  if (!sent.ok()) return Failed(sent);
  if (response_body_.chunked()) stream->Append(protocol::kChunkEnd);
  return absl::OkStatus();
}

absl::Status HttpExchange::SendPiece(std::string_view data) {
  ioloop::Stream* stream = connection_->stream();
  absl::Status sent;
  if (data.size() >= kUncopiedBytesMin) {
    while (sent.ok() && !data.empty()) {
      const std::string_view piece = data.substr(0, kUncopiedBytesMax);
      const ClientWait wait(connection_);
      sent = stream->WriteUncopied(piece);
      data.remove_prefix(piece.size());
    }
    return sent;
  }
  stream->Append(data);
  if (stream->pending_output_bytes() > kPendingOutputBytesMax) {
    const ClientWait wait(connection_);
    sent = stream->WaitFlushed(kPendingOutputBytesMax / 2);
  }
  return sent;
}

absl::StatusOr<int64_t> HttpExchange::SendFile(int fd, int64_t offset, int64_t size) {
  absl::Status usable = Usable();
  if (!usable.ok()) return usable;
  ioloop::Stream* stream = connection_->stream();
  int64_t sent_bytes = 0;
  // In pieces, so that the client's progress is noticed.
  while (sent_bytes < size) {
    const size_t piece =
        response_body_.Admit(static_cast<size_t>(std::min<int64_t>(size - sent_bytes, kUncopiedBytesMax)));
    if (piece == 0) return size;  // HEAD, or beyond Content-Length: as if sent
    if (response_body_.chunked()) {
      stream->Commit(protocol::EncodeChunkStart(piece, stream->Reserve(protocol::kChunkStartBytesMax)));
    }
    const absl::StatusOr<size_t> sent = [&] {
      const ClientWait wait(connection_);
      return stream->SendFile(fd, offset + sent_bytes, piece);
    }();
    if (!sent.ok()) return Failed(sent.status());
    sent_bytes += static_cast<int64_t>(*sent);
    response_body_bytes_ += static_cast<int64_t>(*sent);
    if (*sent < piece) {  // the file ended early: what the framing has promised cannot be delivered
      failed_ = true;
      break;
    }
    if (response_body_.chunked()) stream->Append(protocol::kChunkEnd);
  }
  return sent_bytes;
}

absl::Status HttpExchange::Flush() {
  absl::Status usable = Usable();
  if (!usable.ok()) return usable;
  connection_->service()->loop()->SubmitNow();
  return Usable();
}

absl::Status HttpExchange::Finish() {
  absl::Status usable = Usable();
  if (!usable.ok()) return usable;
  if (response_body_.chunked()) connection_->stream()->Append(protocol::kLastChunk);
  response_body_.Finish();
  finished_ = true;
  return absl::OkStatus();
}

}  // namespace greenring::worker
