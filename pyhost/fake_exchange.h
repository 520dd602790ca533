// An exchange without a connection: requests are text, what was sent is text.
//
//   FakeExchange exchange("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n", {"he", "llo"});
//   handler.Handle({exchange.head(), exchange.peer(), *listener}, &exchange);
//   EXPECT_EQ(exchange.body(), "...");
//
// Each piece of the request's body arrives by itself; before each the green thread yields, as with a slow client.
// Scheduler's thread only.
#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/check.h"
#include "base/clock.h"
#include "green/scheduler.h"
#include "protocol/http1_parser.h"
#include "protocol/response_body.h"
#include "protocol/response_encoder.h"
#include "pyhost/exchange.h"

namespace greenring::pyhost {

class FakeExchange final : public Exchange {
 public:
  explicit FakeExchange(std::string request_head, std::vector<std::string> request_body = {})
      : request_(std::move(request_head)), pieces_(std::move(request_body)) {
    const protocol::ParseResult result = protocol::ParseRequestHead(request_, protocol::Limits{}, &head_);
    GREENRING_CHECK(result.kind == protocol::ParseResult::Kind::kComplete);
    peer_.family = PeerAddress::Family::kIpv4;
    peer_.ip[0] = 127;
    peer_.ip[3] = 1;
    peer_.port = 40000;
  }

  const protocol::RequestHead& head() const { return head_; }
  PeerAddress* peer() { return &peer_; }

  // ReadBody fails so when the pieces are used up, instead of the end of the body.
  void FailReadingWith(absl::Status status) { read_failure_ = std::move(status); }

  // The client takes this many sends (of any kind), then it is gone.
  void GoneAfter(int sends) { sends_left_ = sends; }

  absl::StatusOr<size_t> ReadBody(char* data, size_t size) override {
    green::Scheduler::Current()->Yield();
    if (next_piece_ == pieces_.size()) {
      if (!read_failure_.ok()) return read_failure_;
      return 0;
    }
    std::string& piece = pieces_[next_piece_];
    size = std::min(size, piece.size());
    std::memcpy(data, piece.data(), size);
    piece.erase(0, size);
    if (piece.empty()) ++next_piece_;
    return size;
  }

  // What has not come by itself never comes in time.
  absl::StatusOr<size_t> ReadBodyWithin(char* data, size_t size, int64_t timeout_ns) override {
    if (timeout_ns == kNeverNs || next_piece_ < pieces_arrived_) return ReadBody(data, size);
    if (next_piece_ == pieces_.size() && read_failure_.ok()) return 0;
    return absl::DeadlineExceededError("no more of the body has come");
  }
  int64_t chunk_left_bytes() const override { return chunk_left_bytes_; }
  int64_t content_length() const override { return head_.content_length; }

  // ReadBodyWithin finds so many pieces of the body there; and what it gives ends so long before a chunk does.
  void SetArrived(size_t pieces, int64_t chunk_left_bytes) {
    pieces_arrived_ = pieces;
    chunk_left_bytes_ = chunk_left_bytes;
  }

  absl::Status SendComplete(const protocol::ResponseEncoder& head, std::string_view body) override {
    absl::Status status = SendHead(head, static_cast<int64_t>(body.size()));
    if (status.ok() && !body.empty()) status = SendBody(body);
    return status.ok() ? Finish() : status;
  }

  absl::Status SendHead(const protocol::ResponseEncoder& head, int64_t body_bytes) override {
    GREENRING_CHECK(head_text_.empty() && !finished_);
    head_text_.resize(head.head_bytes_max());
    const protocol::ResponseRequest request{
        .version = head_.version, .is_head = head_.method == "HEAD", .keep_alive = head_.keep_alive};
    head_text_.resize(head.EncodeHead(request, body_bytes, "Date: now\r\n", head_text_.data(), &framing_));
    return CountSend();
  }

  absl::Status SendBody(std::string_view data) override {
    GREENRING_CHECK(!head_text_.empty() && !finished_ && !data.empty());
    body_.append(data.substr(0, framing_.Admit(data.size())));
    events_.push_back("sent " + std::string(data));
    return CountSend();
  }

  absl::StatusOr<int64_t> SendFile(int fd, int64_t offset, int64_t size) override {
    std::string data(static_cast<size_t>(size), '\0');
    const ssize_t got = ::pread(fd, data.data(), data.size(), offset);
    GREENRING_CHECK(got >= 0);
    data.resize(static_cast<size_t>(got));
    ++files_;
    const absl::Status status = SendBody(data);
    if (!status.ok()) return status;
    return got;
  }

  absl::Status Flush() override {
    events_.push_back("flushed");
    return sends_left_ == 0 ? Gone() : absl::OkStatus();
  }

  absl::Status Finish() override {
    GREENRING_CHECK(!finished_);
    finished_ = true;
    return absl::OkStatus();
  }

  void Abort() override { aborted_ = true; }
  void Disconnect() override {
    disconnected_ = true;
    sends_left_ = 0;
  }

  uint64_t number() const override { return 7; }
  int client_fd() const override { return client_fd_; }
  void SetLogVariable(std::string_view name, std::string_view value) override {
    log_variables_[std::string(name)] = value;
  }
  std::optional<std::string> LogVariable(std::string_view name) const override {
    const auto found = log_variables_.find(std::string(name));
    return found != log_variables_.end() ? std::optional(found->second) : std::nullopt;
  }

  void SetInterrupter(Interrupter* interrupter) override { interrupter_ = interrupter; }
  int64_t started_ns() const override { return started_ns_; }
  int64_t deadline_ns() const override { return timeout_ns_ == kNeverNs ? kNeverNs : started_ns_ + timeout_ns_; }
  void SetTimeout(int64_t timeout_ns) override { timeout_ns_ = timeout_ns; }
  void SetCancelOnDisconnect(bool cancel) override { cancel_on_disconnect_ = cancel; }
  void BeginClose() override { ++closes_; }
  CutShort cut_short() const override { return cut_short_; }

  // What its worker would do: the reason is noted, and the application interrupted.
  void EndRequest(CutShort reason) {
    cut_short_ = reason;
    if (interrupter_ != nullptr) interrupter_->OnCutShort(reason);
  }
  void CancelRequest(const std::string& reason) {
    cut_short_ = CutShort::kCancelled;
    if (interrupter_ != nullptr) interrupter_->OnCancelled(reason);
  }
  // What the interrupter tells of its application. GIL held.
  std::string PythonStack() { return interrupter_->PythonStack(); }
  // Interrupts without a reason for the response: what comes after the response was complete.
  void Interrupt(CutShort reason) { interrupter_->OnCutShort(reason); }
  void ReportOverdue() { interrupter_->OnOverdue(); }
  void StartAt(int64_t started_ns) { started_ns_ = started_ns; }
  void SetClientFd(int fd) { client_fd_ = fd; }
  bool disconnected() const { return disconnected_; }
  int closes() const { return closes_; }
  int64_t timeout_ns() const { return timeout_ns_; }
  bool cancel_on_disconnect() const { return cancel_on_disconnect_; }

  // What the client has got: the head as text, the body without its framing.
  const std::string& head_text() const { return head_text_; }
  const std::string& body() const { return body_; }
  const protocol::ResponseBody& framing() const { return framing_; }
  bool finished() const { return finished_; }
  bool aborted() const { return aborted_; }
  int files() const { return files_; }

  // "sent PIECE" and "flushed", in their order.
  const std::vector<std::string>& events() const { return events_; }

 private:
  static absl::Status Gone() { return absl::UnavailableError("the client is gone"); }

  absl::Status CountSend() {
    if (sends_left_ == 0) return Gone();
    if (sends_left_ > 0) --sends_left_;
    return absl::OkStatus();
  }

  const std::string request_;
  protocol::RequestHead head_;
  PeerAddress peer_;
  std::vector<std::string> pieces_;
  size_t next_piece_ = 0;
  absl::Status read_failure_;
  int sends_left_ = -1;
  std::string head_text_;
  std::string body_;
  protocol::ResponseBody framing_;
  std::vector<std::string> events_;
  int files_ = 0;
  bool finished_ = false;
  bool aborted_ = false;
  Interrupter* interrupter_ = nullptr;
  int64_t started_ns_ = 0;
  int64_t timeout_ns_ = kNeverNs;
  bool cancel_on_disconnect_ = false;
  CutShort cut_short_ = CutShort::kNo;
  int closes_ = 0;
  size_t pieces_arrived_ = 0;
  int64_t chunk_left_bytes_ = 0;
  int client_fd_ = -1;
  bool disconnected_ = false;
  std::map<std::string, std::string> log_variables_;
};

}  // namespace greenring::pyhost
