// The part of an HttpExchange that takes in a request's head, in whatever protocol its listener has.
#include "protocol/http1_parser.h"
#include "protocol/uwsgi_parser.h"
#include "protocol/wire_protocol.h"
#include "worker/connection.h"
#include "worker/http_exchange.h"
#include "worker/http_service.h"

namespace greenring::worker {

void HttpExchange::Start(Connection* connection, bool keep_input) {
  connection_ = connection;
  if (keep_input) {
    // What is left of the head's buffer starts the next head; what arrived later follows it.
    head_input_.Append(body_input_.view());
  } else {
    head_input_.Clear();
  }
  body_input_.Clear();
  if (scanning_) scanner_.Reset();
  scanning_ = false;
  head_.Clear();
  response_body_ = {};
  reader_ = nullptr;
  script_name_bytes_ = 0;
  number_ = 0;
  run_ = {};
  request_id_ = {};
  log_variables_.clear();
  response_body_bytes_ = 0;
  status_ = 0;
  continue_due_ = finished_ = failed_ = false;
}

void HttpExchange::Append(std::string_view data) {
  // Views of the head point into head_input_: once it is parsed that buffer must not grow.
  (head_.method.empty() ? head_input_ : body_input_).Append(data);
}

bool HttpExchange::is_uwsgi() const { return connection_->listener()->protocol == protocol::WireProtocol::kUwsgi; }

protocol::SimpleResponseOptions HttpExchange::AnswerOptions() const {
  return {.http10 = head_.version == protocol::HttpVersion::kHttp10,
          .is_head = head_.method == "HEAD",
          .is_uwsgi = is_uwsgi(),
          .date_line = connection_->service()->DateLine()};
}

protocol::ParseResult HttpExchange::ParseHead(const protocol::Limits& limits) {
  const protocol::ParseResult result =
      is_uwsgi() ? protocol::ParseUwsgiHead(head_input_.view(), limits, &head_) : ParseHttpHead(limits);
  if (result.kind != protocol::ParseResult::Kind::kComplete) {
    head_.Clear();
    return result;
  }
  head_bytes_ = result.head_bytes;
  head_input_.Consume(head_bytes_);
  request_body_.Reset(head_.framing, head_.content_length, limits);
  continue_due_ = head_.expect_continue;
  return result;
}

// Of one that arrives in pieces the parser sees nothing before the scanner has found its end.
protocol::ParseResult HttpExchange::ParseHttpHead(const protocol::Limits& limits) {
  using Kind = protocol::ParseResult::Kind;
  if (scanning_) {
    const protocol::ParseResult scanned = scanner_.Scan(head_input_.view(), limits);
    if (scanned.kind != Kind::kComplete) return scanned;
  }
  const protocol::ParseResult result = protocol::ParseRequestHead(head_input_.view(), limits, &head_);
  if (result.kind != Kind::kIncomplete || scanning_) return result;
  scanning_ = true;
  return scanner_.Scan(head_input_.view(), limits);
}

}  // namespace greenring::worker
