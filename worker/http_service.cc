#include "worker/http_service.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace greenring::worker {
namespace {

// What is kept for reuse from tick to tick: each holds some KiB.
constexpr size_t kFreeExchangesKept = 256;

timespec WallClock() {
  timespec now;
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return now;
}

// As logs name the client.
std::string ClientName(const pyhost::PeerAddress& peer) {
  return peer.family == pyhost::PeerAddress::Family::kUnix ? "-" : peer.IpText();
}

}  // namespace

HttpListener::QuietTimer::QuietTimer(HttpListener* listener)
    : Timer([](Timer* timer) { static_cast<QuietTimer*>(timer)->listener->OnQuiet(); }), listener(listener) {}

void HttpListener::OnAccept(UniqueFd fd) {
  if (closing && quiet_timer.armed()) {
    green::Scheduler* const scheduler = service->scheduler();
    scheduler->RemoveTimer(&quiet_timer);
    scheduler->AddTimer(&quiet_timer, std::max(scheduler->clock()->NowNs() + HttpService::kQuietNs, silent_clients_ns));
  }
  service->Accept(this, std::move(fd));
}

// Where this process had no turn for a while, time has passed without an accept that was due.
void HttpListener::OnQuiet() {
  pollfd waiting = {.fd = socket->fd(), .events = POLLIN, .revents = 0};
  if (poll(&waiting, 1, 0) <= 0) return socket->Stop();
  service->scheduler()->AddTimer(&quiet_timer, service->scheduler()->clock()->NowNs() + HttpService::kQuietNs);
}

void HttpListener::OnStopped() {
  if (quiet_timer.armed()) service->scheduler()->RemoveTimer(&quiet_timer);
  stopped = true;
  service->OnListenerStopped();
}

HttpService::Tick::Tick(HttpService* service)
    : Timer([](Timer* timer) { static_cast<Tick*>(timer)->service->OnTick(); }), service(service) {}

HttpService::HttpService(ioloop::EventLoop* loop, CorePool* cores, const HttpServiceOptions& options,
                         ErrorLog* error_log, AccessLog* access_log, Observer* observer)
    : loop_(loop),
      cores_(cores),
      options_(options),
      error_log_(error_log),
      access_log_(access_log),
      observer_(observer) {
  SetLogFormat();
}

HttpService::~HttpService() {
  GREENRING_CHECK(connections_.empty() && listening_count_ == 0);
  scheduler()->RemoveTimer(&tick_);
}

void HttpService::AddListener(std::unique_ptr<ioloop::Listener> socket, const pyhost::EnvironTemplate* environ,
                              protocol::WireProtocol protocol) {
  auto listener = std::make_unique<HttpListener>();
  listener->service = this;
  listener->socket = std::move(socket);
  listener->environ = environ;
  listener->protocol = protocol;
  listener->address = listener->socket->address();
  listener->socket->Start(loop_, listener.get());
  ++listening_count_;
  listeners_.push_back(std::move(listener));
}

Connection* HttpService::NewConnection(const HttpListener* listener, UniqueFd fd) {
  StartTicking();
  Connection* connection = new Connection(this, listener, std::move(fd));
  connection->set_index(static_cast<uint32_t>(connections_.size()));
  connections_.push_back(connection);
  return connection;
}

void HttpService::Accept(const HttpListener* listener, UniqueFd fd) {
  statistics_.OnAccepted();
  NewConnection(listener, std::move(fd))->Start();
}

// ---- addresses that several pools share ----------------------------------------------------------------------------

void HttpService::SetRoutes(const std::map<std::string, RouteTable>& routes) {
  for (auto& listener : listeners_) {
    const auto found = routes.find(listener->address);
    listener->routes = found != routes.end() ? found->second : RouteTable();
  }
}

void HttpService::TakeOver(HandedConnection connection) {
  const auto listener = std::find_if(listeners_.begin(), listeners_.end(), [&connection](const auto& candidate) {
    return candidate->address == connection.address;
  });
  if (listener == listeners_.end()) {
    error_log_->Message(absl::StrCat("a connection to ", connection.address,
                                     " was handed to this worker, which does not serve there; it is closed"));
    return;
  }
  statistics_.OnAccepted();
  NewConnection(listener->get(), std::move(connection.fd))->StartWith(connection.received);
}

void HttpService::HandOver(const HttpListener* listener, const protocol::RequestHead& head,
                           HandedConnection connection) {
  // What holds now: while earlier answers were being sent the routes may have changed.
  const RouteTable::Match match = listener->routes.Find(head.host, head.path, head.path_decoded);
  if (match.pool == RouteTable::kNoPool || match.pool == RouteTable::kOwnPool) {
    NewConnection(listener, std::move(connection.fd))->StartWith(connection.received);
    return;
  }
  const absl::Status status = neighbours_ != nullptr ? neighbours_->HandOver(match.pool, connection)
                                                     : absl::UnavailableError("it is served by another server");
  if (status.ok()) return;
  NewConnection(listener, std::move(connection.fd))->StartRefused(connection.received, std::string(status.message()));
}

void HttpService::Delete(Connection* connection) {
  const uint32_t index = connection->index();
  GREENRING_DCHECK(connections_[index] == connection);
  connections_[index] = connections_.back();
  connections_[index]->set_index(index);
  connections_.pop_back();
  delete connection;
  MaybeDrained();
}

HttpExchange* HttpService::TakeExchange(Connection* connection) {
  if (free_exchanges_.empty()) free_exchanges_.push_back(std::make_unique<HttpExchange>());
  HttpExchange* exchange = free_exchanges_.back().release();
  free_exchanges_.pop_back();
  exchange->Start(connection, /*keep_input=*/false);
  return exchange;
}

void HttpService::GiveExchange(HttpExchange* exchange) {
  exchange->Shrink();
  free_exchanges_.emplace_back(exchange);
}

std::string_view HttpService::DateLine() { return dates_.Line(WallClock().tv_sec); }

// What has arrived in one turn of the loop has begun at one time, so that it is read once. On a core the turn may have
// become old: there the next request of a pipeline begins.
int64_t HttpService::RequestNowNs() {
  const uint64_t turn = scheduler()->stats().turns;
  if (turn != request_turn_ || scheduler()->current() != nullptr) {
    request_turn_ = turn;
    request_now_ns_ = loop_->clock()->NowNs();
    request_now_ticks_ = scheduler()->NowTicks();
  }
  return request_now_ns_;
}

RequestWatchOptions HttpService::WatchOptionsFor(std::string_view path) {
  return {.started_ns = RequestNowNs(),
          .timeout_ns = options_.request_timeouts.For(path),
          .grace_ns = options_.request_timeout_grace_ns,
          .cancel_on_disconnect = options_.cancel_on_disconnect};
}

void HttpService::WaitForRequest(Connection* connection) {
  waiting_for_request_.Touch(connection, DeadlineAfter(draining_ ? kDrainIdleNs : options_.keepalive_timeout_ns));
}

void HttpService::WaitForHead(Connection* connection) {
  waiting_for_head_.Touch(connection, DeadlineAfter(options_.header_timeout_ns));
}

void HttpService::WaitForClient(Connection* connection) {
  waiting_for_client_.Touch(connection, DeadlineAfter(options_.io_timeout_ns));
}

void HttpService::StartTicking() {
  if (tick_.armed()) return;
  tick_now_ns_ = loop_->clock()->NowNs();
  scheduler()->AddTimer(&tick_, tick_now_ns_ + kTickNs);
}

void HttpService::OnTick() {
  tick_now_ns_ = loop_->clock()->NowNs();
  for (DeadlineList<Connection>* list : {&waiting_for_request_, &waiting_for_head_, &waiting_for_client_}) {
    while (Connection* due = list->PopDue(tick_now_ns_)) due->OnTimeout();
  }
  if (access_log_ != nullptr) access_log_->Flush();
  while (free_exchanges_.size() > kFreeExchangesKept) free_exchanges_.pop_back();
  // Without connections nothing can be due: the loop sleeps undisturbed.
  if (!connections_.empty()) scheduler()->AddTimer(&tick_, tick_now_ns_ + kTickNs);
}

void HttpService::SetLogFormat() {
  error_log_->SetFormat(options_.log_format);
  if (access_log_ != nullptr) access_log_->SetFormat(options_.log_format);
}

void HttpService::Apply(const HttpServiceOptions& options) {
  options_ = options;
  SetLogFormat();
  tick_now_ns_ = loop_->clock()->NowNs();
  waiting_for_request_.LimitTo(DeadlineAfter(draining_ ? kDrainIdleNs : options_.keepalive_timeout_ns));
  waiting_for_head_.LimitTo(DeadlineAfter(options_.header_timeout_ns));
  waiting_for_client_.LimitTo(DeadlineAfter(options_.io_timeout_ns));
}

std::string_view HttpService::WhyNotReady() const {
  if (draining_) return "the worker drains";
  return cores_->full() ? "all cores are busy and the queue is full" : "";
}

void HttpService::StopAccepting(const std::vector<std::string>& addresses, std::function<void()> on_stopped) {
  Stopping stopping;
  stopping.on_stopped = std::move(on_stopped);
  for (const auto& listener : listeners_) {
    const std::string& address = listener->socket->address();
    if (listener->stopped || std::find(addresses.begin(), addresses.end(), address) == addresses.end()) continue;
    stopping.listeners.push_back(listener.get());
    if (std::exchange(listener->closing, true)) continue;
    // Connections whose first bytes are on their way are accepted now, not only with those.
    const int no_wait_s = 0;
    setsockopt(listener->socket->fd(), IPPROTO_TCP, TCP_DEFER_ACCEPT, &no_wait_s, sizeof(no_wait_s));
    listener->silent_clients_ns = loop_->clock()->NowNs() + kSilentClientNs;
    scheduler()->AddTimer(&listener->quiet_timer, listener->silent_clients_ns);
  }
  stopping_.push_back(std::move(stopping));
  TellStopped();
}

void HttpService::OnListenerStopped() {
  --listening_count_;
  TellStopped();
  MaybeDrained();
}

void HttpService::TellStopped() {
  std::vector<std::function<void()>> due;
  for (size_t i = 0; i < stopping_.size();) {
    const std::vector<const HttpListener*>& asked = stopping_[i].listeners;
    if (std::all_of(asked.begin(), asked.end(), [](const HttpListener* listener) { return listener->stopped; })) {
      due.push_back(std::move(stopping_[i].on_stopped));
      stopping_.erase(stopping_.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
  for (const std::function<void()>& on_stopped : due) on_stopped();
}

void HttpService::Drain() {
  if (draining_) return;
  draining_ = true;
  for (auto& listener : listeners_) listener->socket->Stop();
  if (neighbours_ != nullptr) neighbours_->Stop();
  // Idle connections wait from now on for the short time only.
  tick_now_ns_ = loop_->clock()->NowNs();
  std::vector<Connection*> idle;
  while (Connection* connection = waiting_for_request_.PopFront()) idle.push_back(connection);
  for (Connection* connection : idle) WaitForRequest(connection);
  MaybeDrained();
}

size_t HttpService::AbortAll() {
  size_t lost = 0;
  const std::vector<Connection*> connections = connections_;  // nobody is deleted within this call
  for (Connection* connection : connections) {
    const Connection::State state = connection->state();
    if (state == Connection::State::kServing || state == Connection::State::kHandingOver) ++lost;
    connection->AbortForDrain();
  }
  return lost;
}

void HttpService::MaybeDrained() {
  if (!draining_ || drained_ || listening_count_ > 0 || !connections_.empty()) return;
  if (neighbours_ != nullptr && !neighbours_->stopped()) return;
  drained_ = true;
  scheduler()->RemoveTimer(&tick_);
  if (access_log_ != nullptr) access_log_->Flush();
  observer_->OnDrained();
}

void HttpService::OnRequestEnded(Connection* connection, HttpExchange* exchange) {
  statistics_.OnEnded({.status = exchange->status(),
                       .ran = exchange->thread() != nullptr,
                       .run_ns = exchange->RunNs(),
                       .generation = exchange->generation(),
                       .cut_short = exchange->cut_short()});
  CheckRequestLimit();
  if (access_log_ != nullptr) LogAccess(connection, exchange, exchange->status(), exchange->response_body_bytes());
  const protocol::ResponseBody& body = exchange->response_body();
  if (!exchange->finished() || (body.missing_bytes() == 0 && body.excess_bytes() == 0)) return;
  if (body.missing_bytes() > 0) {
    error_log_->RequestMessage(exchange->name(), absl::StrCat("the response is ", body.missing_bytes(),
                                                              " bytes shorter than its Content-Length; the connection "
                                                              "is closed"));
  } else {
    error_log_->RequestMessage(exchange->name(), absl::StrCat("the response is ", body.excess_bytes(),
                                                              " bytes longer than its Content-Length; they were cut "
                                                              "off"));
  }
}

void HttpService::OnRequestRefused(Connection* connection, HttpExchange* exchange, int status,
                                   std::string_view reason) {
  statistics_.OnRefused(status);
  CheckRequestLimit();
  if (access_log_ != nullptr) LogAccess(connection, exchange, status, 0);
  if (status < 500) return;  // a client's mistake is not the operator's
  error_log_->Message(
      absl::StrCat("refused a request with ", status, ": ", absl::string_view(reason.data(), reason.size())));
}

void HttpService::CheckRequestLimit() {
  if (request_limit_ == 0 || statistics_.requests() < request_limit_) return;
  request_limit_ = 0;
  observer_->OnRequestLimit();
}

void HttpService::LogTimeout(Connection* connection) {
  error_log_->Message(absl::StrCat("client ", ClientName(connection->peer()), " made no progress for ",
                                   options_.io_timeout_ns / kNanosecondsPerSecond, " s; the connection is closed"));
}

void HttpService::LogAccess(Connection* connection, HttpExchange* exchange, int status, int64_t body_bytes) {
  const std::string_view told = exchange->head().remote_addr;
  const std::string client = told.empty() ? ClientName(connection->peer()) : std::string(told);
  const timespec now = WallClock();
  const bool has_begun = exchange->number() != 0;
  access_log_->Append({.client = client,
                       .head = &exchange->head(),
                       .status = status,
                       .body_bytes = body_bytes,
                       .variables = &exchange->log_variables(),
                       .request_id = exchange->request_id(),
                       .queue_ns = has_begun ? exchange->QueuedNs() : 0,
                       .run_ns = exchange->RunNs()},
                      now.tv_sec * kNanosecondsPerSecond + now.tv_nsec);
}

}  // namespace greenring::worker
