#include "tools/greenctl/connection.h"

#include <errno.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iterator>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/unique_fd.h"
#include "google/rpc/status.pb.h"
#include "tools/greenctl/exit_code.h"

namespace greenring::greenctl {
namespace {

absl::StatusOr<std::string> ReadFile(const std::string& flag, const std::string& path) {
  if (path.empty()) {
    return UsageError(absl::StrCat("a server at host:port is reached with mutual TLS: ", flag, " is missing"));
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) return UsageError(absl::StrCat(flag, ": ", path, ": ", strerror(errno)));
  return std::string(std::istreambuf_iterator<char>(file), {});
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> Credentials(const ConnectionOptions& options) {
  if (absl::StartsWith(options.address, "unix:")) return grpc::InsecureChannelCredentials();
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

// The errno of a connection to a unix socket; 0 when it is made.
int ConnectErrno(const std::string& path) {
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  if (path.size() >= sizeof(address.sun_path)) return ENAMETOOLONG;
  memcpy(address.sun_path, path.data(), path.size());
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) return errno;
  return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ? 0 : errno;
}

// "alice", or "uid 1000"; empty when there is no such file.
std::string OwnerOf(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return "";
  const passwd* user = getpwuid(status.st_uid);
  return user != nullptr ? user->pw_name : absl::StrCat("uid ", status.st_uid);
}

constexpr char kHowToStart[] =
    "is the server running? \"server --app=module:callable\" starts one; --server or $GREENRING_CONTROL says where it "
    "is";

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const ConnectionOptions& options) {
  absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> credentials = Credentials(options);
  if (!credentials.ok()) return credentials.status();
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // A server that restarts is back in a moment: `top` reconnects soon.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // gRPC would derive the authority from a socket's path, which no server has to accept.
  if (absl::StartsWith(options.address, "unix:")) arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  return grpc::CreateCustomChannel(options.address, *credentials, arguments);
}

absl::Status Unreachable(const std::string& address, const std::string& message) {
  auto unreachable = [&address](absl::string_view why) {
    return WithExitCode(absl::UnavailableError(absl::StrCat("no server answers at ", address, ": ", why)),
                        kExitUnreachable);
  };
  if (!absl::StartsWith(address, "unix:")) {
    return WithHint(unreachable(message),
                    "is the server running there, with --control and these certificates' "
                    "authority as --control_tls_client_ca?");
  }
  const std::string path(absl::StripPrefix(address, "unix:"));
  const int error = ConnectErrno(path);
  if (error == EACCES || error == EPERM) {
    const std::string owner = OwnerOf(path);
    return WithHint(
        WithExitCode(absl::PermissionDeniedError(absl::StrCat("the socket ", path, " is not for this user")),
                     kExitRefused),
        owner.empty() ? "only the user that runs the server, and root, may use it"
                      : absl::StrCat("try as ", owner, ", who runs the server: sudo -u ", owner, " greenctl ..."));
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
