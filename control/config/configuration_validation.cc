// Validate and ValidateTogether: what is wrong with pools beside one another, and with the rest of a configuration.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "control/config/address.h"
#include "control/config/pool_config.h"
#include "control/config/pool_limits.h"
#include "control/config/violation_list.h"

namespace greenring::control {
namespace {

std::string PoolField(size_t index, const std::string& field) { return absl::StrCat("pools[", index, "].", field); }

std::string IdOf(const v1::Pool& pool) { return std::string(absl::StripPrefix(pool.name(), "pools/")); }

void CheckNames(const std::vector<v1::Pool>& pools, ViolationList* wrong) {
  std::map<std::string, size_t> first;
  for (size_t i = 0; i < pools.size(); ++i) {
    const auto [place, is_new] = first.emplace(IdOf(pools[i]), i);
    if (is_new) continue;
    wrong->Add(PoolField(i, "name"),
               absl::StrCat("pools[", place->second, "] is named ", Quoted(place->first), " too"));
  }
}

// What may be the address of several pools: nothing for port 0, which is another one each time.
std::optional<std::string> SharableAddress(const v1::Listener& listener) {
  std::string problem;
  const std::optional<Address> address = ParseAddress(listener.address(), &problem);
  if (!address.has_value() || (!address->is_unix && address->port == 0)) return std::nullopt;
  return address->Normalised();
}

// A listener of one of the pools that are checked.
struct Place {
  size_t pool;
  int listener;
};

// What every pool that listens on an address must say of it alike.
void CheckAgreement(const std::vector<v1::Pool>& pools, const Place& first, const Place& second,
                    const std::string& address, ViolationList* wrong) {
  const v1::Listener& is = pools[first.pool].listeners(first.listener);
  const v1::Listener& other = pools[second.pool].listeners(second.listener);
  const auto differ = [&](const char* name, const std::string& text, const std::string& other_text) {
    wrong->Add(PoolField(second.pool, absl::StrCat("listeners[", second.listener, "].", name)),
               absl::StrCat("is ", other_text, ", but pools[", first.pool, "], ", Quoted(IdOf(pools[first.pool])),
                            ", says ", text, " of ", address, ": pools that share it must agree"));
  };
  if (is.protocol() != other.protocol()) {
    differ("protocol", v1::Listener::Protocol_Name(is.protocol()), v1::Listener::Protocol_Name(other.protocol()));
  }
  if (is.backlog() != other.backlog()) differ("backlog", absl::StrCat(is.backlog()), absl::StrCat(other.backlog()));
  const auto mode = [](const v1::Listener& listener) { return std::strtol(listener.unix_mode().c_str(), nullptr, 8); };
  if (mode(is) != mode(other)) differ("unix_mode", Quoted(is.unix_mode()), Quoted(other.unix_mode()));
}

// As routes are compared; so "Shop.example.com" is "shop.example.com".
std::string RouteText(const v1::Route& route) {
  return absl::StrCat(absl::AsciiStrToLower(route.host()), route.path_prefix());
}

// That it is clear whose a request is that comes in on `address`, which both pools have.
void CheckRoutesApart(const std::vector<v1::Pool>& pools, size_t first, size_t second, const std::string& address,
                      ViolationList* wrong) {
  const std::string other = absl::StrCat("pools[", first, "], ", Quoted(IdOf(pools[first])));
  if (pools[first].routes().empty() && pools[second].routes().empty()) {
    wrong->Add(PoolField(second, "routes"),
               absl::StrCat(other, ", listens on ", address, " too, and neither has routes: give one of them some"));
  }
  for (int i = 0; i < pools[second].routes_size(); ++i) {
    for (const v1::Route& route : pools[first].routes()) {
      if (RouteText(route) != RouteText(pools[second].routes(i))) continue;
      wrong->Add(
          PoolField(second, absl::StrCat("routes[", i, "]")),
          absl::StrCat(RouteText(route), " is a route of ", other, ", already, which listens on ", address, " too"));
    }
  }
}

// Pools may share an address: their routes say whose a request is.
void CheckSharing(std::vector<v1::Pool> pools, ViolationList* wrong) {
  std::map<std::string, std::vector<Place>> places;
  std::set<std::pair<size_t, size_t>> compared;
  for (size_t i = 0; i < pools.size(); ++i) {
    FillDefaults(&pools[i]);
    for (int j = 0; j < pools[i].listeners_size(); ++j) {
      const std::optional<std::string> address = SharableAddress(pools[i].listeners(j));
      if (!address.has_value()) continue;
      for (const Place& other : places[*address]) {
        if (other.pool == i) continue;
        CheckAgreement(pools, other, {i, j}, *address, wrong);
        if (compared.emplace(other.pool, i).second) CheckRoutesApart(pools, other.pool, i, *address, wrong);
      }
      places[*address].push_back({i, j});
    }
    const auto count =
        std::count_if(compared.begin(), compared.end(), [i](const auto& pair) { return pair.second == i; });
    if (count > kNeighboursMax) {
      wrong->Add(PoolField(i, "listeners"), absl::StrCat("share addresses with ", count, " other pools: at most ",
                                                         kNeighboursMax, " are possible"));
    }
  }
}

void CheckControl(const v1::Control& control, ViolationList* wrong) {
  bool any_tcp = false;
  for (int i = 0; i < control.addresses_size(); ++i) {
    const std::string field = absl::StrCat("control.addresses[", i, "]");
    const std::string& text = control.addresses(i);
    if (text == "off") {
      if (control.addresses_size() > 1) wrong->Add(field, "off stands alone");
      continue;
    }
    std::string problem;
    const std::optional<Address> address = ParseAddress(text, &problem);
    if (!address.has_value()) wrong->Add(field, absl::StrCat(problem, "; or off, for no API"));
    any_tcp = any_tcp || (address.has_value() && !address->is_unix);
  }
  const auto check = [wrong, any_tcp](const char* field, const std::string& path) {
    if (path.empty() && any_tcp) {
      wrong->Add(field, "must name a PEM file: an address of the API that is no unix socket takes mutual TLS");
    }
    wrong->CheckPath(field, path);
  };
  check("control.tls_certificate", control.tls_certificate());
  check("control.tls_key", control.tls_key());
  check("control.tls_client_ca", control.tls_client_ca());
}

void CheckMetrics(const v1::Configuration& configuration, ViolationList* wrong) {
  const std::string& text = configuration.metrics().address();
  if (text.empty()) return;
  std::string problem;
  const std::optional<Address> address = ParseAddress(text, &problem);
  if (!address.has_value()) {
    wrong->Add("metrics.address", problem);
  } else if (address->is_unix) {
    wrong->Add("metrics.address", "must be host:port: metrics are scraped over TCP");
  }
}

// The server's own addresses are no pool's.
void CheckOwnAddresses(const v1::Configuration& configuration, ViolationList* wrong) {
  std::map<std::string, std::string> users;
  const auto use = [&users, wrong](const std::string& text, const std::string& field) {
    std::string problem;
    const std::optional<Address> address = ParseAddress(text, &problem);
    if (!address.has_value() || (!address->is_unix && address->port == 0)) return;
    const auto [place, is_new] = users.emplace(address->Normalised(), field);
    if (!is_new) wrong->Add(field, absl::StrCat(place->first, " is the address of ", place->second, " already"));
  };
  for (int i = 0; i < configuration.control().addresses_size(); ++i) {
    use(configuration.control().addresses(i), absl::StrCat("control.addresses[", i, "]"));
  }
  use(configuration.metrics().address(), "metrics.address");
  const std::map<std::string, std::string> own = users;
  for (int i = 0; i < configuration.pools_size(); ++i) {
    users = own;  // pools beside one another are CheckSharing's
    for (int j = 0; j < configuration.pools(i).listeners_size(); ++j) {
      std::string problem;
      const std::optional<Address> address = ParseAddress(configuration.pools(i).listeners(j).address(), &problem);
      if (address.has_value() && own.count(address->Normalised()) != 0) {
        use(address->Normalised(), absl::StrCat("pools[", i, "].listeners[", j, "].address"));
      }
    }
  }
}

}  // namespace

std::vector<FieldViolation> ValidateTogether(const std::vector<v1::Pool>& pools) {
  ViolationList wrong;
  CheckNames(pools, &wrong);
  CheckSharing(pools, &wrong);
  return wrong.Take();
}

bool ShareAddress(const v1::Pool& left, const v1::Pool& right) {
  for (const v1::Listener& listener : left.listeners()) {
    const std::optional<std::string> address = SharableAddress(listener);
    const bool shared = address.has_value() &&
                        std::any_of(right.listeners().begin(), right.listeners().end(),
                                    [&](const v1::Listener& other) { return SharableAddress(other) == address; });
    if (shared) return true;
  }
  return false;
}

std::vector<FieldViolation> Validate(const v1::Configuration& configuration) {
  std::vector<FieldViolation> violations;
  const auto append = [&violations](std::vector<FieldViolation> more, const std::string& prefix) {
    for (FieldViolation& violation : more) {
      violations.push_back({prefix + violation.field, std::move(violation.description)});
    }
  };
  for (int i = 0; i < configuration.pools_size(); ++i) {
    append(Validate(configuration.pools(i)), absl::StrCat("pools[", i, "]."));
  }
  append(ValidateTogether({configuration.pools().begin(), configuration.pools().end()}), "");
  ViolationList wrong;
  CheckControl(configuration.control(), &wrong);
  CheckMetrics(configuration, &wrong);
  CheckOwnAddresses(configuration, &wrong);
  wrong.CheckPath("state_directory", configuration.state_directory());
  wrong.CheckPath("pid_file", configuration.pid_file());
  append(wrong.Take(), "");
  return violations;
}

}  // namespace greenring::control
