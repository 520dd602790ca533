#include "worker/connection.h"

#include <sys/socket.h>

#include <utility>

#include "base/check.h"
#include "protocol/simple_response.h"
#include "protocol/uwsgi_parser.h"
#include "worker/core_pool.h"
#include "worker/http_service.h"
#include "worker/peer.h"

namespace greenring::worker {
namespace {

// Input that waits for the application, or for its turn in a pipeline; beyond it the client's TCP window has to.
constexpr size_t kInputBytesMax = 256 * 1024;

// Output that a client has not taken when its next request is started.
constexpr size_t kPipelinedOutputBytesMax = 64 * 1024;

}  // namespace

Connection::Connection(HttpService* service, const HttpListener* listener, UniqueFd fd)
    : service_(service), listener_(listener), stream_(service->loop(), std::move(fd), this) {}

void Connection::Start() {
  service_->WaitForRequest(this);
  stream_.StartReading();
}

void Connection::MoveTo(State next) {
  GREENRING_DCHECK(state_ != State::kClosing);
  state_ = next;
}

void Connection::OnData(std::string_view data) {
  switch (state_) {
    case State::kIdle:
      exchange_ = service_->TakeExchange(this);
      [[fallthrough]];
    case State::kReadingHead:
      exchange_->Append(data);
      ReadHead();
      break;
    case State::kServing:
    case State::kSkippingBody:
    case State::kFlushing:
      exchange_->Append(data);
      if (!reading_stopped_ && exchange_->input_bytes() >= kInputBytesMax) {
        reading_stopped_ = true;
        stream_.StopReading();
      }
      if (state_ == State::kSkippingBody) {
        SkipBody();
      } else {
        exchange_->WakeReader();
      }
      break;
    case State::kHandingOver:
      exchange_->Append(data);
      break;
    case State::kClosing:
      break;
  }
}

void Connection::ReadHead() {
  const protocol::ParseResult result = exchange_->ParseHead(service_->limits());
  switch (result.kind) {
    case protocol::ParseResult::Kind::kIncomplete:
      if (state_ != State::kReadingHead) {
        MoveTo(State::kReadingHead);
        service_->WaitForHead(this);
      }
      break;
    case protocol::ParseResult::Kind::kError:
      Refuse(result.status, result.reason);
      break;
    case protocol::ParseResult::Kind::kComplete:
      Unlink();
      MoveTo(State::kServing);
      if (exchange_->head().is_ping) {
        AnswerPing();
        break;
      }
      if (const Probe probe = service_->ProbeOf(exchange_->head()); probe != Probe::kNone) {
        AnswerProbe(probe);
        break;
      }
      if ((handed_over_ || !listener_->routes.empty()) && !Route()) break;
      exchange_->BeginRequest();
      if (!service_->cores()->Submit(exchange_)) {
        service_->mutable_statistics()->OnQueueFull();
        Refuse(503, "all cores are busy and the queue is full", kRetryAfterS);
      } else if (input_ended_) {
        OnClientGone();
      }
      break;
  }
}

// A web server's, over the uwsgi protocol: no request, and counted as a probe is.
void Connection::AnswerPing() {
  handed_over_ = false;
  service_->mutable_statistics()->OnProbe();
  stream_.Append(protocol::kUwsgiPong);
  Close(ioloop::CloseMode::kFlush);
}

// What a client sends behind a probe before it has its answer is not read: probes have a connection of their own, and
// a pipeline of them would go as deep as it is long.
void Connection::AnswerProbe(Probe probe) {
  handed_over_ = false;
  service_->mutable_statistics()->OnProbe();
  const std::string_view trouble = probe == Probe::kReadiness ? service_->WhyNotReady() : std::string_view();
  const bool more_input = exchange_->body_unread() || exchange_->input_bytes() > 0;
  const bool keep = exchange_->head().keep_alive && !more_input && !input_ended_ && !service_->draining();
  protocol::SimpleResponseOptions options = exchange_->AnswerOptions();
  options.keep_alive = keep;
  stream_.Append(protocol::SimpleResponse(trouble.empty() ? 200 : 503,
                                          !trouble.empty()            ? trouble
                                          : probe == Probe::kLiveness ? "the loop turns"
                                                                      : "requests are served",
                                          options));
  if (keep) {
    NextRequest();
  } else {
    Close(more_input ? ioloop::CloseMode::kLinger : ioloop::CloseMode::kFlush);
  }
}

void Connection::Refuse(int status, std::string_view reason, int retry_after_s) {
  protocol::SimpleResponseOptions options = exchange_->AnswerOptions();
  options.retry_after_s = retry_after_s;
  stream_.Append(protocol::SimpleResponse(status, reason, options));
  service_->OnRequestRefused(this, exchange_, status, reason);
  Close(ioloop::CloseMode::kLinger);
}

bool Connection::WithdrawFromQueue() {
  if (!exchange_->linked()) return false;
  service_->cores()->Withdraw(exchange_);
  return true;
}

absl::Status Connection::CancelRequest(const std::string& reason) {
  HttpExchange* const exchange = serving();
  if (exchange == nullptr) return absl::NotFoundError("the request has ended");
  if (WithdrawFromQueue()) {
    service_->mutable_statistics()->OnCancelledInQueue();
    Refuse(503, "the request was cancelled by an operator");
    return absl::OkStatus();
  }
  if (!exchange->interruptible()) return absl::UnavailableError("the request is just about to begin, or to end");
  exchange->OnCancelled(reason);
  return absl::OkStatus();
}

void Connection::OnTimedOutInQueue() {
  GREENRING_CHECK(WithdrawFromQueue());
  service_->mutable_statistics()->OnTimedOutInQueue();
  Refuse(504, "the request waited for a core until its deadline");
}

void Connection::OnOverdue(bool answered) {
  overdue_ = true;
  service_->OnRequestEnded(this, exchange_);  // now: perhaps it never ends
  if (answered) {
    stream_.Close(ioloop::CloseMode::kLinger);  // the rest when the core is done with it
  } else {
    Abort();
  }
  service_->OnOverdue();
}

// While it is served: a request that still waits for a core need not begin.
void Connection::OnClientGone() {
  if (exchange_->cancel_on_disconnect() && WithdrawFromQueue()) {
    service_->mutable_statistics()->OnCancelledInQueue();
    service_->OnRequestEnded(this, exchange_);
    Close(ioloop::CloseMode::kFlush);  // the answers before it in the pipeline may still be read
    return;
  }
  exchange_->OnDisconnect();
  exchange_->WakeReader();  // a body that is not complete will not be
}

void Connection::OnServed() {
  exchange_->EndRequest();
  if (!overdue_) service_->OnRequestEnded(this, exchange_);
  if (stream_closed_) {
    ReleaseExchange();
    MaybeDelete();
  } else if (broken()) {
    Close(ioloop::CloseMode::kAbort);
  } else if (!exchange_->finished()) {
    Close(CutShort());
  } else if (!exchange_->keep_alive()) {
    const bool unread = exchange_->body_unread() || exchange_->input_bytes() > 0;
    Close(unread ? ioloop::CloseMode::kLinger : ioloop::CloseMode::kFlush);
  } else if (exchange_->body_unread()) {
    MoveTo(State::kSkippingBody);
    service_->WaitForHead(this);
    SkipBody();
  } else {
    NextRequest();
  }
}

void Connection::Disconnect() {
  if (stream_closed_ || broken()) return;
  stream_.Close(exchange_->finished() ? ioloop::CloseMode::kLinger : CutShort());
}

void Connection::OnAbandoned() {
  exchange_->EndRequest();
  const bool answered = exchange_->AnswerAbandoned();
  if (!overdue_) service_->OnRequestEnded(this, exchange_);
  const ioloop::CloseMode mode = answered || exchange_->finished() ? ioloop::CloseMode::kLinger : CutShort();
  std::exchange(exchange_, nullptr)->Orphan();
  if (stream_closed_) {
    MaybeDelete();
  } else {
    Close(broken() ? ioloop::CloseMode::kAbort : mode);
  }
}

// How to close where the response is not complete: only a close tells the client so. Where a close would look like the
// end of the body, a reset does (a unix socket has none).
ioloop::CloseMode Connection::CutShort() {
  const bool looks_complete = exchange_->response_body().kind() == protocol::ResponseBody::Kind::kUntilClose;
  if (exchange_->status() == 0 || !looks_complete) return ioloop::CloseMode::kLinger;
  const linger at_once{.l_onoff = 1, .l_linger = 0};  // else TCP tells of an orderly end
  setsockopt(stream_.fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  return ioloop::CloseMode::kAbort;
}

void Connection::SkipBody() {
  switch (exchange_->SkipBody()) {
    case HttpExchange::Skip::kDone:
      NextRequest();
      break;
    case HttpExchange::Skip::kNeedMore:
      if (input_ended_) Close(ioloop::CloseMode::kFlush);
      break;
    case HttpExchange::Skip::kError:
      Close(ioloop::CloseMode::kLinger);
      break;
  }
}

void Connection::NextRequest() {
  if (stream_.pending_output_bytes() > kPipelinedOutputBytesMax) {
    MoveTo(State::kFlushing);
    service_->WaitForClient(this);
    return;  // OnFlushed goes on
  }
  const bool more_input = exchange_->input_bytes() > 0;
  if (!more_input) {
    ReleaseExchange();
    if (input_ended_) {
      Close(ioloop::CloseMode::kFlush);
      return;
    }
    MoveTo(State::kIdle);
    service_->WaitForRequest(this);
    return;
  }
  exchange_->Start(this, /*keep_input=*/true);
  OnInputConsumed();
  ReadHead();
}

void Connection::OnInputConsumed() {
  if (!reading_stopped_ || exchange_->input_bytes() > kInputBytesMax / 2) return;
  reading_stopped_ = false;
  stream_.StartReading();
}

void Connection::OnEnd() {
  input_ended_ = true;
  switch (state_) {
    case State::kIdle:
    case State::kReadingHead:
    case State::kSkippingBody:
      Close(ioloop::CloseMode::kFlush);
      break;
    case State::kServing:
      OnClientGone();
      break;
    case State::kFlushing:
    case State::kHandingOver:
    case State::kClosing:
      break;
  }
}

void Connection::OnError(int error_number) {
  switch (state_) {
    case State::kServing:
      OnClientGone();  // OnServed closes
      break;
    case State::kClosing:
      stream_.Close(ioloop::CloseMode::kAbort);
      break;
    default:
      Close(ioloop::CloseMode::kAbort);
      break;
  }
}

void Connection::OnFlushed() {
  if (state_ == State::kFlushing) NextRequest();
}

void Connection::OnTimeout() {
  switch (state_) {
    case State::kReadingHead:
      if (!service_->draining()) {
        Refuse(408, "the request did not arrive in time");
        break;
      }
      [[fallthrough]];
    case State::kIdle:
    case State::kSkippingBody:
      Close(ioloop::CloseMode::kFlush);
      break;
    case State::kServing:
    case State::kFlushing:
    case State::kHandingOver:
      service_->LogTimeout(this);
      Abort();
      break;
    case State::kClosing:  // the client does not take the rest
      stream_.Close(ioloop::CloseMode::kAbort);
      break;
  }
}

void Connection::AbortForDrain() {
  if (state_ == State::kServing && WithdrawFromQueue()) {
    service_->mutable_statistics()->OnCancelledInQueue();
    service_->OnRequestEnded(this, exchange_);
    Close(ioloop::CloseMode::kAbort);
    return;
  }
  if (state_ == State::kServing) exchange_->OnDraining();
  Abort();
}

void Connection::Abort() {
  aborted_ = true;
  if (state_ == State::kServing) {
    if (!stream_closed_) stream_.Close(ioloop::CloseMode::kAbort);
    exchange_->WakeReader();
  } else if (state_ == State::kClosing) {
    stream_.Close(ioloop::CloseMode::kAbort);
  } else {
    Close(ioloop::CloseMode::kAbort);
  }
}

// No request is on a core (or it has just left it).
void Connection::Close(ioloop::CloseMode mode) {
  MoveTo(State::kClosing);
  stream_.Close(mode);
  ReleaseExchange();
  service_->WaitForClient(this);
}

void Connection::OnClosed() {
  stream_closed_ = true;
  if (state_ == State::kHandingOver) FinishHandOver();
  MaybeDelete();
}

void Connection::MaybeDelete() {
  if (exchange_ != nullptr) return;  // a core still works for it: OnServed comes
  Unlink();
  service_->Delete(this);
}

void Connection::ReleaseExchange() {
  if (exchange_ == nullptr) return;
  exchange_->EndRequest();
  service_->GiveExchange(std::exchange(exchange_, nullptr));
}

void Connection::StartWait() { service_->WaitForClient(this); }

void Connection::EndWait() { Unlink(); }

const pyhost::PeerAddress& Connection::peer() {
  if (!std::exchange(peer_known_, true)) peer_ = PeerOf(stream_.fd());
  return peer_;
}

}  // namespace greenring::worker
