// One request and its response on a connection: the Exchange that the Python side works with.
//
//   HttpExchange* exchange = service->TakeExchange(connection);
//   exchange->Append(data);
//   ParseResult result = exchange->ParseHead(limits);           // until it is complete; then a core:
//   handler->Handle({exchange->head(), peer, environ}, exchange);
//
// Holds what a connection needs while a request is on its way and an idle one does not: the received bytes, the parsed
// head, the state of both bodies. Pooled by the HttpService; one connection has at most one. Loop's thread only; the
// Exchange's calls on the core's green thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/intrusive_list.h"
#include "base/os_thread.h"
#include "green/scheduler.h"
#include "protocol/body_decoder.h"
#include "protocol/head_scanner.h"
#include "protocol/http1_parser.h"
#include "protocol/limits.h"
#include "protocol/request_head.h"
#include "protocol/response_body.h"
#include "protocol/response_encoder.h"
#include "protocol/simple_response.h"
#include "pyhost/error_log.h"
#include "pyhost/exchange.h"
#include "pyhost/greenlet_account.h"
#include "worker/access_log.h"
#include "worker/input_buffer.h"
#include "worker/request_id.h"
#include "worker/request_watch.h"

namespace greenring::worker {

class Connection;

class HttpExchange final : public ListLink /* in the queue for a core */,
                           public pyhost::Exchange,
                           private RequestWatch::Owner {
 public:
  HttpExchange() = default;

  // ---- the connection's side, in the loop's context or on the core ----

  // Starts for `connection`. Whatever an earlier request left is forgotten, but for bytes beyond it if `keep_input`.
  void Start(Connection* connection, bool keep_input);

  // Bytes from the client: of the head until ParseHead is complete, of the body and of later requests after that.
  void Append(std::string_view data);

  // Looks at what has arrived of the head, in the protocol of the listener. With kComplete the head is valid until the
  // next Start.
  protocol::ParseResult ParseHead(const protocol::Limits& limits);

  // What the server's own answers to the request have to know of it and its connection, whether or not its head is
  // complete.
  protocol::SimpleResponseOptions AnswerOptions() const;

  // Bytes that have arrived and belong to the body or to later requests.
  size_t input_bytes() const { return head_input_.size() + body_input_.size(); }

  // All that has arrived from the head's first byte on. After ParseHead was complete, and before a core has taken it.
  std::string Received() const { return std::string(head_input_.ViewFrom(head_bytes_)).append(body_input_.view()); }

  // Where the application is mounted: so many bytes of the decoded path are SCRIPT_NAME.
  size_t script_name_bytes() const { return script_name_bytes_; }
  void set_script_name_bytes(size_t size) { script_name_bytes_ = size; }

  // The client is gone, or has finished sending: a core that waits for the body goes on.
  void WakeReader();

  // The request is complete enough to be queued for a core: its time runs from now on, until EndRequest (idempotent).
  void BeginRequest();
  void EndRequest() { watch_.End(); }

  // A core, which is `thread`, has taken it: it runs from now on. `generation` is the core's. On the core.
  void BeginRun(green::GreenThread* thread, int64_t generation);

  // The client is gone, or the worker's patience is over: interrupts the application, the former if that is wanted.
  void OnDisconnect() { watch_.OnDisconnect(); }
  void OnDraining() { watch_.OnDraining(); }
  void OnCancelled(const std::string& reason) { watch_.OnCancelled(reason); }
  bool cancel_on_disconnect() const { return watch_.cancel_on_disconnect(); }

  // Drops what is left of the request's body, as far as it has arrived. kNeedMore: the rest is still to come.
  enum class Skip : uint8_t { kDone, kNeedMore, kError };
  Skip SkipBody();

  Connection* connection() const { return connection_; }
  const protocol::RequestHead& head() const { return head_; }
  // The response has been given completely; the connection may be reused if keep_alive().
  bool finished() const override { return finished_; }
  bool keep_alive() const { return response_body_.keep_alive() && !failed_; }

  // ---- for logs, statistics and the list of requests ----

  // Unlike that of any other request of this process; 0: it has not begun.
  uint64_t number() const override { return number_; }
  // The client's or ours (request_id.h); valid until the next Start. Empty before it has begun.
  std::string_view request_id();
  pyhost::RequestName name() { return {.id = request_id(), .method = head_.method, .target = head_.target}; }
  // Of the core that has taken it; nullptr: none has.
  green::GreenThread* thread() const { return run_.thread; }
  int64_t generation() const { return run_.generation; }
  // The OS thread that works for it in its core's place, nullptr: none. It outlives that.
  const OsThread* os_thread() const { return run_.os_thread; }
  void SetOsThread(const OsThread* os_thread) { run_.os_thread = os_thread; }
  // The greenlet that works for it in its core's place, nullptr: none. It outlives that.
  const pyhost::GreenletAccount* greenlet() const { return run_.greenlet; }
  void SetGreenlet(const pyhost::GreenletAccount* greenlet) { run_.greenlet = greenlet; }
  // Who can interrupt its application; nullptr: it does not run.
  pyhost::Exchange::Interrupter* interrupter() const { return watch_.interrupter(); }
  bool interruptible() const { return watch_.running(); }
  // From the head's end until a core took it, or until now; and since then, 0 if none has.
  int64_t QueuedNs() const;
  int64_t RunNs() const;
  // What its core used for it: its turns on the loop's OS thread, and the switches to it; where an OS thread or a
  // greenlet works in its place, the time of that on top.
  int64_t CpuNs() const;
  uint64_t switches() const;
  // 0 when no response was begun.
  int status() const { return status_; }
  int64_t response_body_bytes() const { return response_body_bytes_; }
  // A close must linger: the client may still be sending.
  bool body_unread() const { return !request_body_.done(); }
  // What the application has for the access log.
  const LogVariables& log_variables() const { return log_variables_; }
  // The Content-Length account at the end, for the error log.
  const protocol::ResponseBody& response_body() const { return response_body_; }

  // The core that worked for it is gone: a 500 is sent if nothing has been sent yet. False: something has.
  bool AnswerAbandoned();

  // That core has left references to this behind: every use of them fails from now on. It is never used for another
  // request, nor freed.
  void Orphan();

  // Gives back unusual amounts of memory before the exchange is kept for reuse.
  void Shrink();

  // SendComplete of this does not park.
  static bool CompletesAtOnce(const protocol::ResponseEncoder& head, std::string_view body);

  // ---- pyhost::Exchange, on the core ----
  absl::StatusOr<size_t> ReadBody(char* data, size_t size) override { return ReadBodyWithin(data, size, kNeverNs); }
  absl::StatusOr<size_t> ReadBodyWithin(char* data, size_t size, int64_t timeout_ns) override;
  int64_t chunk_left_bytes() const override;
  int64_t content_length() const override { return head_.content_length; }
  absl::Status SendComplete(const protocol::ResponseEncoder& head, std::string_view body) override;
  absl::Status SendHead(const protocol::ResponseEncoder& head, int64_t body_bytes) override;
  absl::Status SendBody(std::string_view data) override;
  absl::StatusOr<int64_t> SendFile(int fd, int64_t offset, int64_t size) override;
  absl::Status Flush() override;
  absl::Status Finish() override;
  void Abort() override { failed_ = true; }
  void Disconnect() override;
  int client_fd() const override;
  void SetLogVariable(std::string_view name, std::string_view value) override;
  std::optional<std::string> LogVariable(std::string_view name) const override;
  void SetInterrupter(Interrupter* interrupter) override { watch_.SetInterrupter(interrupter); }
  int64_t started_ns() const override { return watch_.started_ns(); }
  int64_t deadline_ns() const override { return watch_.deadline_ns(); }
  void SetTimeout(int64_t timeout_ns) override { watch_.SetTimeout(timeout_ns); }
  void SetCancelOnDisconnect(bool cancel) override { watch_.SetCancelOnDisconnect(cancel); }
  void BeginClose() override { watch_.BeginClose(); }
  pyhost::CutShort cut_short() const override { return watch_.cut_short(); }

 private:
  // ---- RequestWatch::Owner ----
  void OnTimedOutInQueue() override;
  void OnCutShort(pyhost::CutShort reason) override;
  void OnOverdue() override;

  bool is_uwsgi() const;
  protocol::ParseResult ParseHttpHead(const protocol::Limits& limits);
  protocol::ResponseRequest ResponseRequestNow() const;
  bool CanSkipBody() const;
  // What of the input comes next: the rest of the head's buffer first.
  InputBuffer* next_input() { return head_input_.empty() ? &body_input_ : &head_input_; }
  void ConsumeInput(size_t size);
  absl::Status WaitForInput(int64_t deadline_ns);
  absl::Status RefuseBody(const protocol::BodyDecoder::Step& step);
  absl::Status SendPiece(std::string_view data);
  absl::Status Usable() const;
  absl::Status Failed(const absl::Status& status);

  Connection* connection_ = nullptr;
  InputBuffer head_input_;  // the head (it stays where it is while the request runs) and what came with it
  InputBuffer body_input_;  // what came after that
  size_t head_bytes_ = 0;
  size_t script_name_bytes_ = 0;
  protocol::HeadScanner scanner_;
  protocol::RequestHead head_;
  protocol::BodyDecoder request_body_;
  protocol::ResponseBody response_body_;
  green::GreenThread* reader_ = nullptr;  // the core that waits for input
  RequestWatch watch_{this};
  uint64_t number_ = 0;
  uint64_t queued_ticks_ = 0;  // of the scheduler
  struct Run {
    green::GreenThread* thread = nullptr;
    const OsThread* os_thread = nullptr;
    const pyhost::GreenletAccount* greenlet = nullptr;
    int64_t generation = 0;
    uint64_t began_ticks = 0;
    uint64_t run_ticks_before = 0;  // the core's accounts when it took the request
    uint64_t switches_before = 0;
  } run_;
  RequestIds::Buffer id_buffer_;
  std::string_view request_id_;  // empty: nobody has asked yet
  LogVariables log_variables_;
  int64_t response_body_bytes_ = 0;
  int status_ = 0;
  bool scanning_ = false;      // the head arrives in pieces
  bool continue_due_ = false;  // the client waits for 100 Continue
  bool finished_ = false;
  bool failed_ = false;  // nothing more can be sent on this connection
};

}  // namespace greenring::worker
