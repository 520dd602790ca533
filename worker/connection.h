// One client's connection: from accept, through any number of requests one after the other, to its close.
//
//   Connection* connection = new Connection(service, listener, std::move(fd));
//   connection->Start();                   // deleted by the service when it has closed
//
//   kIdle -> kReadingHead -> kServing -> kSkippingBody -> kFlushing -> kIdle
//
// A request that another pool's route takes goes from kServing to kHandingOver: the connection ends here, with the
// answers before that request sent, and goes on in a worker of that pool.
//
// States that have nothing to do are left out on the way (a head that arrives whole goes from kIdle to kServing); the
// next request of a pipeline starts in kReadingHead or kServing; kClosing can follow each and is the last.
//
// Between requests a connection is this object and its Stream, nothing else: what a request needs is in an HttpExchange
// that it holds from the first byte of a head to the end of the response. Requests that arrive early (pipelining) wait
// in the exchange's buffers. In the loop's context, except what says on a core.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/unique_fd.h"
#include "ioloop/stream.h"
#include "pyhost/exchange.h"
#include "worker/deadline_list.h"
#include "worker/http_exchange.h"
#include "worker/probes.h"

namespace greenring::worker {

class HttpService;
struct HttpListener;

class Connection final : private ioloop::Stream::Handler, public DeadlineLink {
 public:
  enum class State : uint8_t {
    kIdle,          // nothing of a next request has arrived
    kReadingHead,   // part of one
    kServing,       // in the queue for a core, or on one
    kSkippingBody,  // the response is given, the rest of the request's body is still arriving
    kFlushing,      // the client is slow to take the response; the next request waits
    kHandingOver,   // its next request is another pool's: earlier answers are sent, the receive ends
    kClosing,
  };

  Connection(HttpService* service, const HttpListener* listener, UniqueFd fd);
  ~Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Begins to read.
  void Start();

  // The same, of a connection that was handed over to this worker with what it has `received`, the whole head of a
  // request and more: that request is this pool's, or nobody's.
  void StartWith(std::string_view received);

  // The same, of one that could not be handed over: the request is refused with 503.
  void StartRefused(std::string_view received, std::string_view reason);

  // Its deadline in one of the service's lists has passed.
  void OnTimeout();

  // The worker's patience is over: whatever happens on this connection ends.
  void Abort();

  // The same, and the application is told.
  void AbortForDrain();

  // ---- the exchange's side, on a core ----

  // The application is done with the exchange. The exchange is no longer the caller's.
  void OnServed();

  // The core is gone in the middle of the exchange: the client gets a 500 if it has got nothing yet, and the connection
  // is closed. In the loop's context.
  void OnAbandoned();

  // The application has given its last byte, and goes on without a client.
  void Disconnect();

  // The core starts to wait for the client, and has ceased to: the time without progress is limited.
  void StartWait();
  void EndWait();
  // The deadline has passed before a core took the request up, or after it was interrupted: the application is not to
  // run, or does not end. `answered`: the client has its whole answer, else the connection is cut off.
  void OnTimedOutInQueue();
  void OnOverdue(bool answered);
  // Input was used up: reading goes on if it had been stopped.
  void OnInputConsumed();

  // The client's address; asks the kernel at the first call.
  const pyhost::PeerAddress& peer();

  // What it serves, in the queue for a core or on one; nullptr: nothing.
  HttpExchange* serving() const { return state_ == State::kServing ? exchange_ : nullptr; }

  // An operator cancels the request that it serves: refused with 503 where it still waits for a core, else its
  // application is interrupted. UNAVAILABLE: its core is just about to begin, or about to end.
  absl::Status CancelRequest(const std::string& reason);

  // Its place in the service's list of all connections.
  uint32_t index() const { return index_; }
  void set_index(uint32_t index) { index_ = index; }

  ioloop::Stream* stream() { return &stream_; }
  HttpService* service() const { return service_; }
  const HttpListener* listener() const { return listener_; }
  State state() const { return state_; }
  bool input_ended() const { return input_ended_; }
  // Nothing more can be sent.
  bool broken() const { return aborted_ || stream_.broken(); }

  // How long a client that is refused for want of room should wait before it comes again.
  static constexpr int kRetryAfterS = 1;

 private:
  void MoveTo(State next);
  void OnData(std::string_view data) override;
  void OnEnd() override;
  void OnError(int error_number) override;
  void OnFlushed() override;
  void OnClosed() override;

  void ReadHead();
  void AnswerPing();
  void AnswerProbe(Probe probe);
  bool Route();
  void FinishHandOver();
  bool WithdrawFromQueue();
  void OnClientGone();
  void SkipBody();
  void NextRequest();
  void Refuse(int status, std::string_view reason, int retry_after_s = -1);
  ioloop::CloseMode CutShort();
  void Close(ioloop::CloseMode mode);
  void ReleaseExchange();
  void MaybeDelete();

  HttpService* const service_;
  const HttpListener* const listener_;
  HttpExchange* exchange_ = nullptr;
  ioloop::Stream stream_;
  pyhost::PeerAddress peer_;
  uint32_t index_ = 0;
  State state_ = State::kIdle;
  bool peer_known_ = false;
  bool reading_stopped_ = false;  // enough input waits
  bool input_ended_ = false;      // the client has sent its last byte
  bool handed_over_ = false;      // to this worker, and its first request has not been routed yet
  bool aborted_ = false;
  bool overdue_ = false;  // its request is; logged already
  bool stream_closed_ = false;
};

}  // namespace greenring::worker
