// Everything about the HTTP connections of one worker: listeners, connections, exchanges, timeouts and the drain.
//
//   HttpService service(&loop, &cores, options, &error_log, access_log);
//   service.AddListener(std::move(listener), environ);
//   ...
//   service.Apply(other_options);
//   service.Drain();              // OnDrained of the observer follows, when the last connection has closed
//
// Loop's thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "green/scheduler.h"
#include "green/timer_queue.h"
#include "ioloop/event_loop.h"
#include "ioloop/listener.h"
#include "protocol/date_cache.h"
#include "protocol/limits.h"
#include "protocol/wire_protocol.h"
#include "worker/access_log.h"
#include "worker/connection.h"
#include "worker/core_pool.h"
#include "worker/deadline_list.h"
#include "worker/http_exchange.h"
#include "worker/http_statistics.h"
#include "worker/log.h"
#include "worker/neighbours.h"
#include "worker/probes.h"
#include "worker/request_id.h"
#include "worker/request_timeouts.h"
#include "worker/request_watch.h"
#include "worker/route_table.h"

namespace greenring::pyhost {
class EnvironTemplate;
}

namespace greenring::worker {

struct HttpServiceOptions {
  protocol::Limits limits;
  int64_t keepalive_timeout_ns = 75 * kNanosecondsPerSecond;  // between two requests
  int64_t header_timeout_ns = 30 * kNanosecondsPerSecond;     // for one head, from its first byte
  int64_t io_timeout_ns = 60 * kNanosecondsPerSecond;         // without progress while a core waits for the client

  RequestTimeouts request_timeouts;                              // from the end of the head to the response's end
  int64_t request_timeout_grace_ns = 5 * kNanosecondsPerSecond;  // to end once it was interrupted
  bool cancel_on_disconnect = false;

  ProbePaths probes;
  LogFormat log_format = LogFormat::kText;  // of both logs
};

// One listening socket and what its requests are told of it.
struct HttpListener final : ioloop::Listener::Handler {
  HttpService* service = nullptr;
  std::unique_ptr<ioloop::Listener> socket;
  const pyhost::EnvironTemplate* environ = nullptr;
  protocol::WireProtocol protocol = protocol::WireProtocol::kHttp;
  std::string address;  // the socket's, as it was bound
  RouteTable routes;    // who serves what of it; empty: all is this pool's

  void OnAccept(UniqueFd fd) override;
  void OnStopped() override;

  // It is to stop when nothing has been accepted for a while.
  struct QuietTimer : green::Timer {
    explicit QuietTimer(HttpListener* listener);
    HttpListener* const listener;
  };
  void OnQuiet();
  QuietTimer quiet_timer{this};
  int64_t silent_clients_ns = 0;  // until then those come who have said nothing yet
  bool closing = false;
  bool stopped = false;
};

class HttpService {
 public:
  class Observer {
   public:
    // After Drain: no listener accepts and no connection is left.
    virtual void OnDrained() = 0;

    // A request that has timed out goes on beyond its grace: only the worker's end will end it for sure. In the loop's
    // context.
    virtual void OnOverdue() = 0;

    // As many requests have ended as SetRequestLimit has said. Once for each call of that. On a core, or in the loop's
    // context; never parks.
    virtual void OnRequestLimit() = 0;

   protected:
    ~Observer() = default;
  };

  // `access_log` may be null.
  HttpService(ioloop::EventLoop* loop, CorePool* cores, const HttpServiceOptions& options, ErrorLog* error_log,
              AccessLog* access_log, Observer* observer);

  // No connection is left (checked).
  ~HttpService();

  HttpService(const HttpService&) = delete;
  HttpService& operator=(const HttpService&) = delete;

  // Accepts on `socket` from now on. Never parks.
  void AddListener(std::unique_ptr<ioloop::Listener> socket, const pyhost::EnvironTemplate* environ,
                   protocol::WireProtocol protocol = protocol::WireProtocol::kHttp);

  // From now on these options hold, for requests and connections that begin; logs change at once. A wait that is in
  // progress (for the next request, for a head, for the client) is not longer, from now on, than the new timeout for
  // it. Never parks.
  void Apply(const HttpServiceOptions& options);

  // Who serves on the same addresses; before the first request, once. Without, `routes` of other pools are refused.
  void SetNeighbours(Neighbours* neighbours) { neighbours_ = neighbours; }

  // Who serves what from now on, by the listeners' addresses; an address that is not named is this pool's alone. Whom a
  // request goes to that has arrived is not changed, unless it is just being handed over. Never parks.
  void SetRoutes(const std::map<std::string, RouteTable>& routes);

  // A connection that another pool's worker has accepted on one of this pool's addresses: its first request is this
  // pool's, whatever the routes here say (they may differ for a moment, and nothing may go to and fro). Never parks.
  void TakeOver(HandedConnection connection);

  // The neighbours have stopped.
  void OnNeighboursStopped() { MaybeDrained(); }

  // The observer is told when `count` requests have ended since the start; 0: it is not. Never parks.
  void SetRequestLimit(uint64_t count) { request_limit_ = count; }

  // Those of the listeners that have one of `addresses` (ioloop::Listener::address) accept what waits for them, and
  // stop when nothing has come for kQuietNs, but not before kSilentClientNs: where another socket of the address gets
  // the new connections. `on_stopped` is called when all of them have, or at once if there are none. Never parks.
  void StopAccepting(const std::vector<std::string>& addresses, std::function<void()> on_stopped);

  // Stops accepting, lets every request that has begun to arrive finish, gives idle connections kDrainIdleNs for a
  // request that is on its way, and closes them. Idempotent. Never parks.
  void Drain();

  // Ends every connection now, and interrupts every request. Returns how many were lost. Never parks.
  size_t AbortAll();

  bool draining() const { return draining_; }
  size_t connection_count() const { return connections_.size(); }
  const std::vector<Connection*>& connections() const { return connections_; }

  // What clients are told who ask for readiness; empty: requests are served.
  std::string_view WhyNotReady() const;

  // ---- for connections and exchanges ----

  ioloop::EventLoop* loop() const { return loop_; }
  green::Scheduler* scheduler() const { return loop_->scheduler(); }
  CorePool* cores() const { return cores_; }
  const protocol::Limits& limits() const { return options_.limits; }
  std::string_view DateLine();
  // For a request that begins now. When that was in the scheduler's ticks request_now_ticks says afterwards.
  RequestWatchOptions WatchOptionsFor(std::string_view path);
  uint64_t request_now_ticks() const { return request_now_ticks_; }
  uint64_t NextRequestNumber() { return ++last_request_number_; }
  const RequestIds& request_ids() const { return request_ids_; }
  Probe ProbeOf(const protocol::RequestHead& head) const { return options_.probes.Match(head); }
  HttpStatistics* mutable_statistics() { return &statistics_; }
  const HttpStatistics& statistics() const { return statistics_; }
  void OnOverdue() { observer_->OnOverdue(); }

  // The connection owns what it takes until it gives it back.
  HttpExchange* TakeExchange(Connection* connection);
  void GiveExchange(HttpExchange* exchange);
  void Delete(Connection* connection);

  // To the neighbour whose route takes the request at the front of `connection.received`, or else back to this worker.
  void HandOver(const HttpListener* listener, const protocol::RequestHead& head, HandedConnection connection);

  // Each starts the wait that the name says, and ends the one that `connection` was in.
  void WaitForRequest(Connection* connection);
  void WaitForHead(Connection* connection);
  void WaitForClient(Connection* connection);

  // Each once for a request, which is counted and logged. `exchange` may be one whose head could not be parsed.
  void OnRequestEnded(Connection* connection, HttpExchange* exchange);
  void OnRequestRefused(Connection* connection, HttpExchange* exchange, int status, std::string_view reason);
  void LogTimeout(Connection* connection);

  // Idle connections are given so long, when draining, for a request that is on its way already.
  static constexpr int64_t kDrainIdleNs = 500 * kNanosecondsPerMillisecond;

  // See StopAccepting. TCP_DEFER_ACCEPT (of a second) holds back who has connected and says nothing: without it they
  // come when the kernel repeats its part of the handshake, a second after that.
  static constexpr int64_t kQuietNs = 200 * kNanosecondsPerMillisecond;
  static constexpr int64_t kSilentClientNs = 1200 * kNanosecondsPerMillisecond;

  // Timeouts are noticed this late at most: time is read once a tick, not with each request.
  static constexpr int64_t kTickNs = 250 * kNanosecondsPerMillisecond;

 private:
  friend struct HttpListener;

  struct Tick : green::Timer {
    explicit Tick(HttpService* service);
    HttpService* const service;
  };

  void Accept(const HttpListener* listener, UniqueFd fd);
  Connection* NewConnection(const HttpListener* listener, UniqueFd fd);
  void OnTick();
  void StartTicking();
  void MaybeDrained();
  void SetLogFormat();
  void OnListenerStopped();
  void TellStopped();
  void LogAccess(Connection* connection, HttpExchange* exchange, int status, int64_t body_bytes);
  void CheckRequestLimit();
  int64_t RequestNowNs();
  int64_t DeadlineAfter(int64_t duration_ns) const { return tick_now_ns_ + duration_ns; }

  ioloop::EventLoop* const loop_;
  CorePool* const cores_;
  HttpServiceOptions options_;
  ErrorLog* const error_log_;
  AccessLog* const access_log_;
  Observer* const observer_;
  Neighbours* neighbours_ = nullptr;

  std::vector<std::unique_ptr<HttpListener>> listeners_;
  size_t listening_count_ = 0;
  struct Stopping {
    std::vector<const HttpListener*> listeners;
    std::function<void()> on_stopped;
  };
  std::vector<Stopping> stopping_;
  std::vector<Connection*> connections_;  // each knows its place

  std::vector<std::unique_ptr<HttpExchange>> free_exchanges_;  // last in, first out

  DeadlineList<Connection> waiting_for_request_;
  DeadlineList<Connection> waiting_for_head_;
  DeadlineList<Connection> waiting_for_client_;
  Tick tick_{this};
  int64_t tick_now_ns_ = 0;  // the time of the last tick

  int64_t request_now_ns_ = 0;  // the time of the last request that began
  uint64_t request_now_ticks_ = 0;
  uint64_t request_turn_ = UINT64_MAX;  // and its turn
  uint64_t last_request_number_ = 0;
  uint64_t request_limit_ = 0;
  const RequestIds request_ids_;
  HttpStatistics statistics_;

  protocol::DateCache dates_;
  bool draining_ = false;
  bool drained_ = false;
};

}  // namespace greenring::worker
