#include "tools/greenctl/connection.h"

#include <errno.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iterator>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "google/rpc/status.pb.h"
#include "tools/greenctl/exit_code.h"
#include "tools/greenctl/socket_owner.h"

namespace greenring::greenctl {
namespace {

constexpr absl::string_view kUnixPrefix = "unix:";

absl::StatusOr<std::string> ReadFile(const std::string& flag, const std::string& path) {
  if (path.empty()) {
    return UsageError(absl::StrCat("a server at host:port is reached with mutual TLS: ", flag, " is missing"));
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) return UsageError(absl::StrCat(flag, ": ", path, ": ", strerror(errno)));
  return std::string(std::istreambuf_iterator<char>(file), {});
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> Credentials(const ConnectionOptions& options) {
  if (absl::StartsWith(options.address, kUnixPrefix)) return grpc::InsecureChannelCredentials();
  if (!absl::StrContains(options.address, ":")) {
    return UsageError(absl::StrCat("\"", options.address, "\" is no address: unix:/path or host:port"));
  }
  absl::StatusOr<std::string> certificate = ReadFile("--tls-certificate", options.tls_certificate);
  if (!certificate.ok()) return certificate.status();
  absl::StatusOr<std::string> key = ReadFile("--tls-key", options.tls_key);
  if (!key.ok()) return key.status();
  absl::StatusOr<std::string> ca = ReadFile("--tls-ca", options.tls_ca);
  if (!ca.ok()) return ca.status();
  return grpc::SslCredentials({.pem_root_certs = *ca, .pem_private_key = *key, .pem_cert_chain = *certificate});
}

constexpr char kHowToStart[] =
    "is the server running? \"server --app=module:callable\" starts one; --server or $GREENRING_CONTROL says where it "
    "is";

}  // namespace

absl::Status CheckServer(const std::string& address) {
  if (!absl::StartsWith(address, kUnixPrefix)) return absl::OkStatus();  // TLS sees to that
  return CheckSocketFile(std::string(absl::StripPrefix(address, kUnixPrefix)), geteuid());
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const ConnectionOptions& options) {
  absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> credentials = Credentials(options);
  if (!credentials.ok()) return credentials.status();
  if (absl::Status status = CheckServer(options.address); !status.ok()) return status;
  if (absl::StartsWith(options.address, kUnixPrefix)) {
    const std::string path(absl::StripPrefix(options.address, kUnixPrefix));
    if (absl::Status status = CheckListener(path, geteuid()); !status.ok()) return status;
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // A server that restarts is back in a moment: `top` reconnects soon.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 10'000);  // what an attempt may take: a busy server is slow
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // gRPC would derive the authority from a socket's path, which no server has to accept.
  if (absl::StartsWith(options.address, kUnixPrefix)) arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  return grpc::CreateCustomChannel(options.address, *credentials, arguments);
}

absl::Status Unreachable(const std::string& address, const std::string& message) {
  auto unreachable = [&address](absl::string_view why) {
    return WithExitCode(absl::UnavailableError(absl::StrCat("no server answers at ", address, ": ", why)),
                        kExitUnreachable);
  };
  if (!absl::StartsWith(address, kUnixPrefix)) {
    return WithHint(unreachable(message),
                    "is the server running there, with --control and these certificates' "
                    "authority as --control_tls_client_ca?");
  }
  const std::string path(absl::StripPrefix(address, kUnixPrefix));
  uid_t listener;
  const int error = TryToConnect(path, &listener);
  if (error == EACCES || error == EPERM) {
    struct stat file;
    if (stat(path.c_str(), &file) == 0) return NotForThisUser(path, file.st_uid);
    return WithHint(
        WithExitCode(absl::PermissionDeniedError(absl::StrCat("the socket ", path, " is not for this user")),
                     kExitRefused),
        "only the user that runs the server, and root, may use it");
  }
  if (error == ECONNREFUSED) return WithHint(unreachable("it has ended, and left its socket behind"), kHowToStart);
  return WithHint(unreachable(error == 0 ? message : strerror(error)), kHowToStart);
}

absl::Status FromGrpc(int code, const std::string& message, const std::string& details) {
  const auto status_code = static_cast<absl::StatusCode>(code);
  absl::Status status(status_code, message.empty() ? absl::StatusCodeToString(status_code) : message);
  google::rpc::Status rpc;
  if (rpc.ParseFromString(details)) {
    for (const google::protobuf::Any& detail : rpc.details()) {
      status.SetPayload(detail.type_url(), absl::Cord(detail.value()));
    }
  }
  if (status.code() == absl::StatusCode::kPermissionDenied || status.code() == absl::StatusCode::kUnauthenticated) {
    return WithHint(status, "the control socket is for the user that runs the server, and for root");
  }
  return status;
}

}  // namespace greenring::greenctl
