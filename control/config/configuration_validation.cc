// Validate and ValidateTogether: what is wrong with pools beside one another, and with the rest of a configuration.
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "control/config/address.h"
#include "control/config/pool_config.h"
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

// The one place that keeps pools from sharing an address, and from routes, which mean nothing without that: workers
// serve whatever comes in on their sockets.
void CheckSharing(const std::vector<v1::Pool>& pools, ViolationList* wrong) {
  std::map<std::string, size_t> owners;
  for (size_t i = 0; i < pools.size(); ++i) {
    if (!pools[i].routes().empty()) {
      wrong->Add(PoolField(i, "routes"),
                 "this version has no routes: give each pool an address of its own, and route in the proxy in front");
    }
    for (int j = 0; j < pools[i].listeners_size(); ++j) {
      std::string problem;
      const std::optional<Address> address = ParseAddress(pools[i].listeners(j).address(), &problem);
      if (!address.has_value() || (!address->is_unix && address->port == 0)) continue;
      const auto [place, is_new] = owners.emplace(address->Normalised(), i);
      if (is_new || place->second == i) continue;
      wrong->Add(PoolField(i, absl::StrCat("listeners[", j, "].address")),
                 absl::StrCat("pools[", place->second, "], ", Quoted(IdOf(pools[place->second])), ", listens on ",
                              place->first, " already: this version needs an address of its own for each pool"));
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
