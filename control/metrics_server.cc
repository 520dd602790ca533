#include "control/metrics_server.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "control/config/address.h"
#include "control/lifetime.h"
#include "control/metrics.h"
#include "control/readiness.h"

namespace greenring::control {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::asio::ip::tcp;
using boost::system::error_code;

using Request = http::request<http::empty_body>;
using Response = http::response<http::string_body>;

constexpr char kMetricsType[] = "text/plain; version=0.0.4; charset=utf-8";
constexpr char kTextType[] = "text/plain; charset=utf-8";
constexpr std::string_view kPoolQuery = "pool=";
// After an error of accept(2), such as no descriptor being left, that would come again at once.
constexpr std::chrono::milliseconds kAcceptPause(100);

// What there is to see, whoever asks.
class Pages final : public ControlPlane::Observer {
 public:
  explicit Pages(ControlPlane* plane) : plane_(plane) {
    for (const v1::Event& event : plane_->EventsAfter(-1)) OnEvent(event);
    plane_->AddObserver(this);
  }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  ~Pages() { plane_->RemoveObserver(this); }

  Response Answer(const Request& request) const {
    if (request.method() != http::verb::get && request.method() != http::verb::head) {
      Response response = Text(http::status::method_not_allowed, "only GET and HEAD\n");
      response.set(http::field::allow, "GET, HEAD");
      return response;
    }
    const std::string target(request.target());
    const size_t question = std::min(target.find('?'), target.size());
    const std::string path = target.substr(0, question);
    if (path == "/metrics") return Metrics();
    if (path == "/livez") return Text(http::status::ok, "ok\n");
    if (path == "/readyz") return Ready(target.substr(question));
    return Text(http::status::not_found, "there are /metrics, /livez and /readyz\n");
  }

  static Response Text(http::status status, const std::string& text) {
    Response response(status, 11);
    response.set(http::field::content_type, kTextType);
    response.body() = text;
    return response;
  }

 private:
  void OnEvent(const v1::Event& event) override { ++events_[{event.kind(), event.severity()}]; }
  void OnOperation(const v1::Operation& operation) override {}

  Response Metrics() const {
    MetricsInput input;
    input.server = plane_->GetServer();
    input.pools = plane_->ListPools();
    input.statistics = plane_->ListStatistics({});
    input.events = events_;
    Response response = Text(http::status::ok, ToPrometheusText(input));
    response.set(http::field::content_type, kMetricsType);
    return response;
  }

  // `query` is empty or begins with the question mark.
  Response Ready(absl::string_view query) const {
    if (plane_->GetServer().draining()) return Text(http::status::service_unavailable, "the server drains\n");
    if (absl::ConsumePrefix(&query, "?")) {
      if (!absl::ConsumePrefix(&query, absl::string_view(kPoolQuery.data(), kPoolQuery.size()))) {
        return Text(http::status::bad_request, "ask for /readyz, or /readyz?pool=NAME\n");
      }
      absl::ConsumePrefix(&query, "pools/");
      const absl::StatusOr<v1::Pool> pool = plane_->GetPool(absl::StrCat("pools/", query));
      if (!pool.ok()) return Text(http::status::not_found, "there is no such pool\n");
      return ReadyUnless(IsServing(*pool) ? "" : absl::StrCat(DescribeState(*pool), "\n"));
    }
    return ReadyUnless(WhyNotReady(plane_->ListPools()));
  }

  static Response ReadyUnless(const std::string& reasons) {
    return reasons.empty() ? Text(http::status::ok, "ok\n") : Text(http::status::service_unavailable, reasons);
  }

  ControlPlane* const plane_;
  std::map<std::pair<v1::Event::Kind, v1::Event::Severity>, int64_t> events_;
};

// One connection: a request, its response, and so on until somebody closes. It lives as long as something is under way.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(tcp::socket socket, const Pages* pages, const MetricsLimits& limits,
             std::function<void(Connection*)> closed)
      : stream_(std::move(socket)), pages_(pages), limits_(limits), closed_(std::move(closed)) {}

  ~Connection() {
    if (closed_) closed_(this);
  }

  void ReadRequest() {
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(limits_.header_bytes_max));
    stream_.expires_after(std::chrono::milliseconds(limits_.idle_timeout_ms));
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](const error_code& error, size_t) { self->OnRequest(error); });
  }

  // The server is deleted.
  void Close() {
    pages_ = nullptr;
    closed_ = nullptr;
    stream_.close();
  }

 private:
  void OnRequest(const error_code& error) {
    if (pages_ == nullptr || error == http::error::end_of_stream) return;
    if (error) {
      // Whatever is no HTTP, or has a body, gets an answer; a connection that is broken does not.
      if (error.category() != make_error_code(http::error::bad_method).category()) return;
      return Write(Pages::Text(http::status::bad_request, absl::StrCat("bad request: ", error.message(), "\n")),
                   /*head=*/false, /*keep_alive=*/false);
    }
    const Request& request = parser_->get();
    Write(pages_->Answer(request), request.method() == http::verb::head, request.keep_alive());
  }

  void Write(Response response, bool head, bool keep_alive) {
    response_ = std::move(response);
    response_.set(http::field::server, "greenring");
    response_.set(http::field::cache_control, "no-store");
    response_.keep_alive(keep_alive);
    response_.prepare_payload();
    if (head) response_.body().clear();  // after its length was told
    stream_.expires_after(std::chrono::milliseconds(limits_.idle_timeout_ms));
    http::async_write(stream_, response_, [self = shared_from_this(), keep_alive](const error_code& error, size_t) {
      if (error || self->pages_ == nullptr) return;
      if (keep_alive) return self->ReadRequest();
      error_code ignored;
      self->stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    });
  }

  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  const Pages* pages_;
  const MetricsLimits limits_;
  std::function<void(Connection*)> closed_;
  std::optional<http::request_parser<http::empty_body>> parser_;
  Response response_;
};

class Server final : public MetricsServer {
 public:
  Server(tcp::acceptor acceptor, ControlPlane* plane, const MetricsLimits& limits)
      : pages_(plane), limits_(limits), acceptor_(std::move(acceptor)), pause_(acceptor_.get_executor()) {
    Accept();
  }

  ~Server() override {
    for (Connection* connection : connections_) connection->Close();
  }

  std::string address() const override {
    const tcp::endpoint endpoint = acceptor_.local_endpoint();
    const std::string host = endpoint.address().to_string();
    return endpoint.address().is_v6() ? absl::StrCat("[", host, "]:", endpoint.port())
                                      : absl::StrCat(host, ":", endpoint.port());
  }

 private:
  void Accept() {
    acceptor_.async_accept(
        lifetime_.Guard([this](const error_code& error, tcp::socket socket) { OnAccepted(error, std::move(socket)); }));
  }

  void OnAccepted(const error_code& error, tcp::socket socket) {
    if (error == boost::asio::error::operation_aborted) return;
    if (error) {
      pause_.expires_after(kAcceptPause);
      pause_.async_wait(lifetime_.Guard([this](const error_code& error) {
        if (!error) Accept();
      }));
      return;
    }
    if (connections_.size() < static_cast<size_t>(limits_.connections_max)) {
      const auto connection = std::make_shared<Connection>(
          std::move(socket), &pages_, limits_, [this](Connection* connection) { connections_.erase(connection); });
      connections_.insert(connection.get());
      connection->ReadRequest();
    }
    Accept();
  }

  const Pages pages_;
  const MetricsLimits limits_;
  tcp::acceptor acceptor_;
  boost::asio::steady_timer pause_;
  std::set<Connection*> connections_;
  const Lifetime lifetime_;
};

// Without a host: all addresses, of both families where there are both.
std::vector<tcp::endpoint> Resolve(const Address& address, Reactor* reactor, error_code* error) {
  const auto port = static_cast<std::uint16_t>(address.port);
  if (address.host.empty()) return {tcp::endpoint(tcp::v6(), port), tcp::endpoint(tcp::v4(), port)};
  tcp::resolver resolver(*reactor->context());
  std::vector<tcp::endpoint> endpoints;
  for (const auto& entry : resolver.resolve(address.host, std::to_string(port), tcp::resolver::passive, *error)) {
    endpoints.push_back(entry.endpoint());
  }
  return endpoints;
}

error_code Listen(const tcp::endpoint& endpoint, bool both_families, tcp::acceptor* acceptor) {
  error_code error;
  acceptor->open(endpoint.protocol(), error);
  if (!error) acceptor->set_option(tcp::acceptor::reuse_address(true), error);
  if (!error && endpoint.address().is_v6()) {
    acceptor->set_option(boost::asio::ip::v6_only(!both_families), error);
  }
  if (!error) acceptor->bind(endpoint, error);
  if (!error) acceptor->listen(tcp::acceptor::max_listen_connections, error);
  return error;
}

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(const v1::Metrics& metrics, Reactor* reactor,
                                                                    ControlPlane* plane, const MetricsLimits& limits) {
  if (metrics.address().empty()) return nullptr;
  std::string problem;
  const std::optional<Address> address = ParseAddress(metrics.address(), &problem);
  if (!address.has_value() || address->is_unix) {
    return absl::InvalidArgumentError(
        absl::StrCat("--metrics: ", address.has_value() ? "must be host:port, as it is scraped over TCP" : problem));
  }
  error_code error;
  for (const tcp::endpoint& endpoint : Resolve(*address, reactor, &error)) {
    tcp::acceptor acceptor(*reactor->context());
    error = Listen(endpoint, address->host.empty(), &acceptor);
    if (!error) return std::unique_ptr<MetricsServer>(new Server(std::move(acceptor), plane, limits));
    if (error == boost::asio::error::address_in_use) break;
  }
  return absl::UnavailableError(absl::StrCat("cannot serve metrics on ", metrics.address(), ": ", error.message(),
                                             ": choose another address with --metrics=HOST:PORT, or none"));
}

}  // namespace greenring::control
