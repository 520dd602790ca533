#include "control/service/tls.h"

#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"

namespace greenring::control {
namespace {

// A file in PEM with a block of the kind `what`.
absl::StatusOr<std::string> ReadPem(const std::string& field, const std::string& path, const std::string& what) {
  if (path.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the control API on a TCP address needs mutual TLS: control.", field,
        " is missing (all of tls_certificate, tls_key and tls_client_ca are required; a unix: address needs none)"));
  }
  std::ifstream file(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file) return absl::InvalidArgumentError(absl::StrCat("control.", field, ": cannot read ", path));
  if (text.find(what + "-----") == std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("control.", field, ": ", path, " has no ", what, " in PEM"));
  }
  return text;
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MutualTls(const v1::Control& control) {
  const absl::StatusOr<std::string> certificate = ReadPem("tls_certificate", control.tls_certificate(), "CERTIFICATE");
  if (!certificate.ok()) return certificate.status();
  const absl::StatusOr<std::string> key = ReadPem("tls_key", control.tls_key(), "PRIVATE KEY");
  if (!key.ok()) return key.status();
  const absl::StatusOr<std::string> client_ca = ReadPem("tls_client_ca", control.tls_client_ca(), "CERTIFICATE");
  if (!client_ca.ok()) return client_ca.status();

  grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = *client_ca;
  options.pem_key_cert_pairs.push_back({*key, *certificate});
  return grpc::SslServerCredentials(options);
}

}  // namespace greenring::control
