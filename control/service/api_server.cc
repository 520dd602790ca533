#include "control/service/api_server.h"

#include <fcntl.h>
#include <pwd.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "control/service/gate.h"
#include "control/service/operation_service.h"
#include "control/service/pool_health.h"
#include "control/service/pool_service.h"
#include "control/service/request_service.h"
#include "control/service/server_service.h"
#include "control/service/tls.h"
#include "control/service/unix_listener.h"
#include "control/service/worker_service.h"
#include "google/protobuf/message.h"
#include "grpc/health/v1/health.pb.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "grpcpp/server_posix.h"

namespace greenring::control {
namespace {

constexpr char kOff[] = "off";
constexpr char kUnixPrefix[] = "unix:";
// Only reflection takes a thread for each client; more clients than that at the same time get RESOURCE_EXHAUSTED.
constexpr int kReflectionThreadsMax = 8;
// How long clients may take to see that the server stops, before they are cut off.
constexpr std::chrono::seconds kShutdownGrace(1);
// A client that is gone without a word is noticed after about this time, and its streams end.
constexpr int kKeepaliveTimeMs = 60'000;
constexpr int kKeepaliveTimeoutMs = 20'000;
// How often clients may ping.
constexpr int kClientPingIntervalMinMs = 10'000;
constexpr int kStreamsPerConnectionMax = 256;

// "uid 1000 (alice)". May read a file or ask a name service, so it is asked for the few users that may connect only
// once.
std::string NameOfUser(uid_t uid) {
  passwd entry;
  passwd* found = nullptr;
  std::vector<char> buffer(size_t{16} << 10);
  getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found);
  return found == nullptr ? absl::StrCat("uid ", uid) : absl::StrCat("uid ", uid, " (", found->pw_name, ")");
}

class Server final : public ApiServer, public UnixListener::Observer {
 public:
  Server(Reactor* reactor, ControlPlane* plane, CallLog* log)
      : gate_(reactor, plane, log),
        log_(log),
        uid_(geteuid()),
        user_(NameOfUser(uid_)),
        pools_(&gate_),
        workers_(&gate_),
        requests_(&gate_),
        operations_(&gate_),
        server_service_(&gate_) {}

  ~Server() override { Shutdown(); }

  absl::Status Listen(const v1::Control& control);
  std::vector<std::string> addresses() const override { return addresses_; }
  void Shutdown() override;

 private:
  absl::Status Build(const v1::Control& control, const std::vector<std::string>& tcp_addresses);

  void OnConnection(UniqueFd connection, const PeerCredentials& peer) override {
    const std::string& user = peer.uid == uid_ ? user_ : root_;
    gate_.callers()->Accepted(connection.get(), {absl::StrCat(user, ", pid ", peer.pid)});
    grpc::AddInsecureChannelFromFd(server_.get(), connection.Release());
  }
  void OnRefused(const PeerCredentials& peer) override {
    log_->OnWarning(absl::StrCat("refused a connection from uid ", peer.uid, ", pid ", peer.pid, ": the socket is for ",
                                 user_, " and root"));
  }
  void OnTrouble(const absl::Status& status) override { log_->OnWarning(std::string(status.message())); }

  Gate gate_;
  CallLog* const log_;
  const uid_t uid_;
  const std::string user_;
  const std::string root_ = "uid 0 (root)";
  PoolService pools_;
  WorkerService workers_;
  RequestService requests_;
  OperationService operations_;
  ServerService server_service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<PoolHealth> health_;
  std::vector<std::unique_ptr<UnixListener>> unix_listeners_;
  std::vector<std::string> addresses_;
};

absl::Status Server::Build(const v1::Control& control, const std::vector<std::string>& tcp_addresses) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  // Nothing else refers to these messages, and what is not linked reflection cannot describe.
  google::protobuf::LinkMessageReflection<grpc::health::v1::HealthCheckRequest>();
  grpc::ServerBuilder builder;
  builder.RegisterService(&pools_);
  builder.RegisterService(&workers_);
  builder.RegisterService(&requests_);
  builder.RegisterService(&operations_);
  builder.RegisterService(&server_service_);
  builder.SetResourceQuota(grpc::ResourceQuota("greenring").SetMaxThreads(kReflectionThreadsMax));
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 1);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // a second server at the same address is an error
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsPerConnectionMax);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kClientPingIntervalMinMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);

  std::vector<int> ports(tcp_addresses.size());
  if (!tcp_addresses.empty()) {
    const absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> credentials = MutualTls(control);
    if (!credentials.ok()) return credentials.status();
    for (size_t i = 0; i < tcp_addresses.size(); ++i) {
      builder.AddListeningPort(tcp_addresses[i], *credentials, &ports[i]);
    }
  }
  server_ = builder.BuildAndStart();
  for (size_t i = 0; i < tcp_addresses.size(); ++i) {
    if (server_ == nullptr || ports[i] == 0) {
      return absl::UnavailableError(absl::StrCat("cannot listen on ", absl::StrJoin(tcp_addresses, ", "),
                                                 ": an address is in use or not this machine's, or the TLS files do "
                                                 "not fit together (gRPC has logged which)"));
    }
    const std::string host = tcp_addresses[i].substr(0, tcp_addresses[i].rfind(':'));
    addresses_.push_back(absl::StrCat(host, ":", ports[i]));
  }
  if (server_ == nullptr) return absl::InternalError("gRPC does not start");
  return absl::OkStatus();
}

absl::Status Server::Listen(const v1::Control& control) {
  std::vector<std::string> unix_paths;
  std::vector<std::string> tcp_addresses;
  for (const std::string& address : control.addresses()) {
    if (address == kOff) continue;
    if (absl::StartsWith(address, kUnixPrefix)) {
      unix_paths.push_back(address.substr(strlen(kUnixPrefix)));
    } else {
      tcp_addresses.push_back(address);
    }
  }
  if (unix_paths.empty() && tcp_addresses.empty()) return absl::OkStatus();
  const absl::Status built = Build(control, tcp_addresses);
  if (!built.ok()) return built;
  for (const std::string& path : unix_paths) {
    absl::StatusOr<std::unique_ptr<UnixListener>> listener = UnixListener::Listen(path, gate_.reactor(), uid_, this);
    if (!listener.ok()) return listener.status();
    unix_listeners_.push_back(*std::move(listener));
    addresses_.push_back(absl::StrCat(kUnixPrefix, path));
  }
  health_ = std::make_unique<PoolHealth>(gate_.reactor(), gate_.plane(), server_->GetHealthCheckService());
  return absl::OkStatus();
}

void Server::Shutdown() {
  unix_listeners_.clear();
  if (server_ == nullptr) return;
  health_.reset();
  operations_.Stop();
  server_service_.Stop();
  server_->GetHealthCheckService()->Shutdown();
  gate_.calls()->AbortAll();
  server_->Shutdown(std::chrono::system_clock::now() + kShutdownGrace);
  server_->Wait();
  server_.reset();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ApiServer>> ApiServer::Start(const v1::Control& control, Reactor* reactor,
                                                            ControlPlane* plane, CallLog* log) {
  auto server = std::make_unique<Server>(reactor, plane, log);
  const absl::Status listening = server->Listen(control);
  if (!listening.ok()) return listening;
  return std::unique_ptr<ApiServer>(std::move(server));
}

}  // namespace greenring::control
