#include "control/service/caller_table.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "grpcpp/security/auth_context.h"
#include "grpcpp/server_context.h"

namespace greenring::control {
namespace {

// The first value of a property of the client's certificate.
std::string PropertyOf(const grpc::AuthContext& context, const char* property) {
  const std::vector<grpc::string_ref> values = context.FindPropertyValues(property);
  return values.empty() ? std::string() : std::string(values.front().data(), values.front().size());
}

// "ipv4:192.0.2.7:50312" without the scheme; the brackets of IPv6 are percent-encoded.
std::string AddressOf(const std::string& peer) {
  absl::string_view address = peer;
  if (!absl::ConsumePrefix(&address, "ipv4:")) absl::ConsumePrefix(&address, "ipv6:");
  return absl::StrReplaceAll(address, {{"%5B", "["}, {"%5D", "]"}});
}

}  // namespace

void CallerTable::Accepted(int fd, Caller caller) {
  absl::MutexLock lock(&mutex_);
  by_peer_[absl::StrCat("fd:", fd)] = std::move(caller);
}

Caller CallerTable::Of(const grpc::ServerContextBase& context) const {
  const std::string peer = context.peer();
  {
    absl::MutexLock lock(&mutex_);
    const auto found = by_peer_.find(peer);
    if (found != by_peer_.end()) return found->second;
  }
  const std::shared_ptr<const grpc::AuthContext> certificate = context.auth_context();
  if (certificate != nullptr && certificate->IsPeerAuthenticated()) {
    const std::string name = PropertyOf(*certificate, "x509_common_name");
    if (!name.empty()) return {absl::StrCat("CN=", name, ", ", AddressOf(peer))};
    const std::string alternative = PropertyOf(*certificate, "x509_subject_alternative_name");
    if (!alternative.empty()) return {absl::StrCat("SAN=", alternative, ", ", AddressOf(peer))};
  }
  return {AddressOf(peer)};
}

}  // namespace greenring::control
