#include "control/config/address.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace greenring::control {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr size_t kUnixPathBytesMax = sizeof(sockaddr_un::sun_path) - 1;
constexpr size_t kHostBytesMax = 253;  // of a name in DNS
constexpr int kPortMax = 65535;

bool IsHostName(const std::string& host) {
  return std::all_of(host.begin(), host.end(),
                     [](unsigned char c) { return absl::ascii_isalnum(c) || c == '-' || c == '.' || c == '_'; });
}

bool IsIpv6(const std::string& host) {
  in6_addr address;
  const std::string without_zone = host.substr(0, host.find('%'));
  return inet_pton(AF_INET6, without_zone.c_str(), &address) == 1;
}

}  // namespace

std::string Address::Normalised() const {
  if (is_unix) return absl::StrCat("unix:", path);
  if (host.empty()) return absl::StrCat("*:", port);
  const bool brackets = host.find(':') != std::string::npos;
  return absl::StrCat(brackets ? "[" : "", absl::AsciiStrToLower(host), brackets ? "]" : "", ":", port);
}

std::optional<Address> ParseAddress(std::string_view text, std::string* problem) {
  const auto wrong = [problem, text](std::string_view reason) {
    *problem = absl::StrCat("must be host:port, [IPv6]:port or unix:/path, not \"", std::string(text),
                            "\": ", std::string(reason));
    return std::nullopt;
  };
  Address address;
  if (text.find('\0') != std::string_view::npos) return wrong("it has a null byte");
  if (text.substr(0, kUnixPrefix.size()) == kUnixPrefix) {
    address.is_unix = true;
    address.path = std::string(text.substr(kUnixPrefix.size()));
    if (address.path.empty()) return wrong("it names no file");
    if (address.path.size() > kUnixPathBytesMax) {
      return wrong(
          absl::StrCat("the path of a socket has at most ", kUnixPathBytesMax, " bytes, not ", address.path.size()));
    }
    return address;
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return wrong("it has no port");
  const std::string port(text.substr(colon + 1));
  const bool digits = !port.empty() && port.find_first_not_of("0123456789") == std::string::npos;
  if (!digits || !absl::SimpleAtoi(port, &address.port) || address.port > kPortMax) {
    return wrong("the port is no number from 0 to 65535");
  }
  address.host = std::string(text.substr(0, colon));
  if (address.host.size() >= 2 && address.host.front() == '[' && address.host.back() == ']') {
    address.host = address.host.substr(1, address.host.size() - 2);
    if (!IsIpv6(address.host)) return wrong("what is in brackets is no IPv6 address");
    return address;
  }
  if (address.host.find(':') != std::string::npos) return wrong("an IPv6 address needs brackets");
  if (address.host == "*") address.host.clear();
  if (address.host.size() > kHostBytesMax || !IsHostName(address.host)) return wrong("the host is no name or address");
  return address;
}

}  // namespace greenring::control
