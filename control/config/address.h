// Addresses as configuration names them: "host:port", "[::1]:port", "*:port", ":port" or "unix:/path".
//
//   std::string problem;
//   std::optional<Address> address = ParseAddress("[::1]:8080", &problem);
//
// Only their shape: names are not resolved. Thread-safe; never blocks.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace greenring::control {

struct Address {
  bool is_unix = false;
  std::string path;  // of a unix socket
  std::string host;  // without brackets; empty: all addresses
  int port = 0;      // 0: one that the system chooses

  // One text for what means the same: "*:80" for ":80", lower-case names.
  std::string Normalised() const;
};

// Nothing, and in `problem` what is possible, when it is none.
std::optional<Address> ParseAddress(std::string_view text, std::string* problem);

}  // namespace greenring::control
