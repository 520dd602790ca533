#include "worker/http_service.h"

#include <time.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace greenring::worker {
namespace {

// What is kept for reuse from tick to tick: each holds some KiB.
constexpr size_t kFreeExchangesKept = 256;

int64_t WallClockS() {
  timespec now;
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return now.tv_sec;
}

// As logs name the client.
std::string ClientName(const pyhost::PeerAddress& peer) {
  return peer.family == pyhost::PeerAddress::Family::kUnix ? "-" : peer.IpText();
}

}  // namespace

void HttpListener::OnAccept(UniqueFd fd) { service->Accept(this, std::move(fd)); }

void HttpListener::OnStopped() {
  --service->listening_count_;
  service->MaybeDrained();
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
      observer_(observer) {}

HttpService::~HttpService() {
  GREENRING_CHECK(connections_.empty() && listening_count_ == 0);
  scheduler()->RemoveTimer(&tick_);
}

void HttpService::AddListener(std::unique_ptr<ioloop::Listener> socket, const pyhost::EnvironTemplate* environ) {
  auto listener = std::make_unique<HttpListener>();
  listener->service = this;
  listener->socket = std::move(socket);
  listener->environ = environ;
  listener->socket->Start(loop_, listener.get());
  ++listening_count_;
  listeners_.push_back(std::move(listener));
}

void HttpService::Accept(const HttpListener* listener, UniqueFd fd) {
  StartTicking();
  Connection* connection = new Connection(this, listener, std::move(fd));
  connection->set_index(static_cast<uint32_t>(connections_.size()));
  connections_.push_back(connection);
  connection->Start();
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

std::string_view HttpService::DateLine() { return dates_.Line(WallClockS()); }

// What has arrived in one turn of the loop has begun at one time, so that it is read once. On a core the turn may have
// become old: there the next request of a pipeline begins.
int64_t HttpService::RequestNowNs() {
  const uint64_t turn = scheduler()->stats().turns;
  if (turn != request_turn_ || scheduler()->current() != nullptr) {
    request_turn_ = turn;
    request_now_ns_ = loop_->clock()->NowNs();
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

void HttpService::Drain() {
  if (draining_) return;
  draining_ = true;
  for (auto& listener : listeners_) listener->socket->Stop();
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
    if (connection->state() == Connection::State::kServing) ++lost;
    connection->AbortForDrain();
  }
  return lost;
}

void HttpService::MaybeDrained() {
  if (!draining_ || drained_ || listening_count_ > 0 || !connections_.empty()) return;
  drained_ = true;
  scheduler()->RemoveTimer(&tick_);
  if (access_log_ != nullptr) access_log_->Flush();
  observer_->OnDrained();
}

void HttpService::LogServed(Connection* connection, const HttpExchange& exchange) {
  if (access_log_ != nullptr) {
    LogAccess(connection, exchange.head(), exchange.status(), exchange.response_body_bytes());
  }
  const protocol::ResponseBody& body = exchange.response_body();
  if (!exchange.finished() || (body.missing_bytes() == 0 && body.excess_bytes() == 0)) return;
  const std::string request = std::string(exchange.head().method) + " " + std::string(exchange.head().target);
  if (body.missing_bytes() > 0) {
    error_log_->Message(absl::StrCat(request, ": the response is ", body.missing_bytes(),
                                     " bytes shorter than its Content-Length; the connection is closed"));
  } else {
    error_log_->Message(absl::StrCat(request, ": the response is ", body.excess_bytes(),
                                     " bytes longer than its Content-Length; they were cut off"));
  }
}

void HttpService::LogRefused(Connection* connection, const protocol::RequestHead& head, int status,
                             std::string_view reason) {
  if (access_log_ != nullptr) LogAccess(connection, head, status, 0);
  if (status < 500) return;  // a client's mistake is not the operator's
  error_log_->Message(
      absl::StrCat("refused a request with ", status, ": ", absl::string_view(reason.data(), reason.size())));
}

void HttpService::LogTimeout(Connection* connection) {
  error_log_->Message(absl::StrCat("client ", ClientName(connection->peer()), " made no progress for ",
                                   options_.io_timeout_ns / kNanosecondsPerSecond, " s; the connection is closed"));
}

void HttpService::LogAccess(Connection* connection, const protocol::RequestHead& head, int status, int64_t body_bytes) {
  const std::string client = ClientName(connection->peer());
  access_log_->Append({.client = client, .head = &head, .status = status, .body_bytes = body_bytes}, WallClockS());
}

}  // namespace greenring::worker
