#include "worker/route_table.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "protocol/percent_decode.h"

namespace greenring::worker {
namespace {

absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }

bool IsWildcard(const std::string& host) { return absl::StartsWith(host, "*."); }

// More specific patterns have greater ranks.
std::tuple<bool, bool, size_t, size_t> RankOf(const RoutePattern& pattern) {
  return {!pattern.host.empty(), !IsWildcard(pattern.host), pattern.host.size(), pattern.path_prefix.size()};
}

// "Example.com.:8080" as "example.com"; "[::1]:80" as "[::1]".
std::string NormalisedHost(std::string_view host) {
  const size_t bracket = host.rfind(']');
  const size_t colon = host.find(':', bracket == std::string_view::npos ? 0 : bracket);
  std::string name = absl::AsciiStrToLower(ToAbsl(host.substr(0, colon)));
  if (!name.empty() && name.back() == '.') name.pop_back();
  return name;
}

bool CoversHost(const std::string& pattern, const std::string& host) {
  if (pattern.empty()) return true;
  if (!IsWildcard(pattern)) return pattern == host;
  const absl::string_view dot_and_domain = absl::string_view(pattern).substr(1);
  return host.size() > dot_and_domain.size() && absl::EndsWith(host, dot_and_domain);
}

bool CoversPath(const std::string& prefix, std::string_view path) {
  if (path.substr(0, prefix.size()) != prefix) return false;
  return prefix.empty() || path.size() == prefix.size() || path[prefix.size()] == '/';
}

}  // namespace

void RouteTable::Add(const RoutePattern& pattern, int pool) {
  Route route{pattern, pool};
  route.pattern.host = NormalisedHost(pattern.host);
  while (absl::EndsWith(route.pattern.path_prefix, "/")) route.pattern.path_prefix.pop_back();
  const auto place = std::find_if(routes_.begin(), routes_.end(), [&route](const Route& other) {
    return RankOf(other.pattern) < RankOf(route.pattern);
  });
  routes_.insert(place, std::move(route));
}

RouteTable::Match RouteTable::Find(std::string_view host, std::string_view path, bool is_decoded) const {
  return FindAmong(kNoPool, host, path, is_decoded);
}

RouteTable::Match RouteTable::FindOf(int pool, std::string_view host, std::string_view path, bool is_decoded) const {
  return FindAmong(pool, host, path, is_decoded);
}

RouteTable::Match RouteTable::FindAmong(int pool, std::string_view host, std::string_view path, bool is_decoded) const {
  const std::string name = NormalisedHost(host);
  std::string decoded;
  if (!is_decoded && path.find('%') != std::string_view::npos) {
    decoded.resize(path.size());
    decoded.resize(protocol::PercentDecode(path, decoded.data()));
    path = decoded;
  }
  for (const Route& route : routes_) {
    if (pool != kNoPool && route.pool != pool) continue;
    if (CoversHost(route.pattern.host, name) && CoversPath(route.pattern.path_prefix, path)) {
      return {route.pool, route.pattern.path_prefix.size()};
    }
  }
  return {};
}

}  // namespace greenring::worker
