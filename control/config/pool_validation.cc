// Validate: what is wrong with a pool, field by field.
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "control/config/address.h"
#include "control/config/pool_config.h"
#include "control/config/pool_limits.h"
#include "control/config/quantities.h"
#include "control/config/violation_list.h"

namespace greenring::control {
namespace {

constexpr int64_t kInt64Max = std::numeric_limits<int64_t>::max();

std::string Element(const std::string& field, int index) { return absl::StrCat(field, "[", index, "]"); }
std::string Entry(const std::string& field, const std::string& key) {
  return absl::StrCat(field, "[", Quoted(key), "]");
}

// Values that this version knows; protobuf keeps those that it does not.
template <typename IsValid>
void CheckEnum(const char* field, int value, IsValid is_valid, ViolationList* wrong) {
  if (!is_valid(value)) wrong->Add(field, absl::StrCat("this version knows no value ", value));
}

void CheckName(const std::string& name, ViolationList* wrong) {
  const std::string id(absl::StripPrefix(name, "pools/"));
  bool is_valid = !id.empty() && id.size() <= kPoolIdBytesMax && absl::ascii_islower(id[0]);
  for (const unsigned char c : id)
    is_valid = is_valid && (absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-');
  if (is_valid) return;
  wrong->Add("name", absl::StrCat("must be 1 to ", kPoolIdBytesMax, " of a-z, 0-9 and -, beginning with a letter, not ",
                                  Quoted(id)));
}

void CheckApplication(const v1::Application& application, ViolationList* wrong) {
  if (application.target().empty()) {
    wrong->Add("application.target",
               "must name the application: module:callable, module, path/to/file.py or module:create_app()");
  }
  wrong->CheckText("application.target", application.target());
  wrong->CheckPath("application.working_directory", application.working_directory());
  wrong->CheckPath("application.virtualenv", application.virtualenv());
  for (int i = 0; i < application.python_path_size(); ++i) {
    const std::string field = Element("application.python_path", i);
    if (application.python_path(i).empty()) wrong->Add(field, "must name a directory");
    wrong->CheckPath(field, application.python_path(i));
  }
  for (const auto& [name, value] : application.environment()) {
    const std::string field = Entry("application.environment", name);
    if (name.empty() || name.find('=') != std::string::npos) {
      wrong->Add(field, "the name of a variable must not be empty or contain =");
    }
    if (wrong->CheckText(field, name)) wrong->CheckText(field, value);
    if (name.size() + 1 + value.size() > kEnvironmentBytesMax) {
      wrong->Add(field, absl::StrCat("name and value have at most ", kEnvironmentBytesMax, " bytes together"));
    }
  }
}

bool IsOctalMode(const std::string& text) {
  const std::string digits = text.size() == 4 && text[0] == '0' ? text.substr(1) : text;
  return digits.size() == 3 && digits.find_first_not_of("01234567") == std::string::npos;
}

void CheckListeners(const v1::Pool& pool, ViolationList* wrong) {
  std::set<std::string> seen;
  if (pool.listeners_size() > kListenersMax) {
    wrong->Add("listeners", absl::StrCat("at most ", kListenersMax, " are possible, not ", pool.listeners_size()));
  }
  for (int i = 0; i < pool.listeners_size(); ++i) {
    const v1::Listener& listener = pool.listeners(i);
    const std::string field = Element("listeners", i);
    std::string problem;
    const std::optional<Address> address = ParseAddress(listener.address(), &problem);
    if (!address.has_value()) {
      wrong->Add(field + ".address", problem);
    } else if ((address->is_unix || address->port != 0) && !seen.insert(address->Normalised()).second) {
      wrong->Add(field + ".address", absl::StrCat(listener.address(), " is there twice"));
    }
    CheckEnum((field + ".protocol").c_str(), listener.protocol(), v1::Listener::Protocol_IsValid, wrong);
    wrong->CheckRangeOrUnset(field + ".backlog", listener.backlog(), 1, kBacklogMax);
    if (listener.unix_mode().empty()) continue;
    if (address.has_value() && !address->is_unix) {
      wrong->Add(field + ".unix_mode", "is for unix sockets only");
    } else if (!IsOctalMode(listener.unix_mode())) {
      wrong->Add(field + ".unix_mode",
                 absl::StrCat("must be three octal digits, as in 660, not ", Quoted(listener.unix_mode())));
    }
  }
}

bool IsRouteHost(const std::string& host) {
  std::string name = host;
  if (absl::StartsWith(name, "*.")) name = name.substr(2);
  if (name.empty() || name.size() > 253 || name.front() == '.' || name.back() == '.') return false;
  const bool is_ipv6 = name.front() == '[' && name.back() == ']' && name.size() == host.size();
  for (const unsigned char c : is_ipv6 ? name.substr(1, name.size() - 2) : name) {
    const bool is_ipv6_letter = is_ipv6 && (absl::ascii_isxdigit(c) || c == ':' || c == '.');
    const bool is_name_letter = !is_ipv6 && (absl::ascii_isalnum(c) || c == '-' || c == '.' || c == '_');
    if (!is_ipv6_letter && !is_name_letter) return false;
  }
  return name.find("..") == std::string::npos;
}

bool IsRoutePrefix(const std::string& prefix) {
  if (prefix.front() != '/' || prefix.back() == '/' || prefix.size() > kPathBytesMax) return false;
  for (const unsigned char c : prefix) {
    if (!absl::ascii_isgraph(c) || c == '?' || c == '#' || c == '%') return false;
  }
  const std::vector<std::string> segments = absl::StrSplit(prefix.substr(1), '/');
  for (const std::string& segment : segments) {
    if (segment.empty() || segment == "." || segment == "..") return false;
  }
  return true;
}

void CheckRoutes(const v1::Pool& pool, ViolationList* wrong) {
  std::set<std::string> seen;
  for (int i = 0; i < pool.routes_size(); ++i) {
    const v1::Route& route = pool.routes(i);
    const std::string field = Element("routes", i);
    if (route.host().empty() && route.path_prefix().empty()) {
      wrong->Add(field, "must have a host or a path_prefix; without routes a pool takes what no other does");
    }
    if (!route.host().empty() && !IsRouteHost(route.host())) {
      wrong->Add(field + ".host",
                 absl::StrCat("must be a host name without port, or *.example.com for all below it, not ",
                              Quoted(route.host())));
    }
    if (!route.path_prefix().empty() && !IsRoutePrefix(route.path_prefix())) {
      wrong->Add(field + ".path_prefix",
                 absl::StrCat("must be whole segments of a path, as in /shop or /shop/v2, without escapes, not ",
                              Quoted(route.path_prefix())));
    }
    if (!seen.insert(absl::StrCat(absl::AsciiStrToLower(route.host()), route.path_prefix())).second) {
      wrong->Add(field, "the same route is there twice");
    }
  }
}

void CheckCores(const v1::Pool& pool, ViolationList* wrong) {
  wrong->CheckRangeOrUnset("workers", pool.workers(), 1, kWorkersMax);
  wrong->CheckRangeOrUnset("async_cores", pool.async_cores(), 1, kAsyncCoresMax);
  CheckEnum("engine", pool.engine(), v1::Engine_IsValid, wrong);
  if (pool.stack_size_bytes() != 0) {
    wrong->CheckBytes("stack_size_bytes", pool.stack_size_bytes(), kStackSizeBytesMin, kStackSizeBytesMax);
  }
  wrong->CheckRangeOrUnset("stack_pages", pool.stack_pages(), kStackSizeBytesMin / kStackPageBytes,
                           kStackSizeBytesMax / kStackPageBytes);
  const int64_t bytes_of_pages = pool.stack_pages() * kStackPageBytes;
  if (pool.stack_pages() != 0 && pool.stack_size_bytes() != 0 && bytes_of_pages != pool.stack_size_bytes()) {
    wrong->Add("stack_pages", absl::StrCat("says ", bytes_of_pages, " bytes, but stack_size_bytes says ",
                                           pool.stack_size_bytes(), ": give one of them"));
  }
  wrong->CheckRange("queue_depth_max", pool.queue_depth_max(), 0, kQueueDepthMax);
  CheckEnum("python_threads", pool.python_threads(), v1::PythonThreads_IsValid, wrong);
  wrong->CheckDuration("time_slice", pool.time_slice(), kTimeSliceMin, kTimeSliceMax, true);
  if (pool.audit().has_threshold()) {
    wrong->CheckDuration("audit.threshold", pool.audit().threshold(), kTimeSliceMin, kTimeSliceMax, false);
  }
}

// "0", "0-3" or "0,2-5".
bool IsCpuList(const std::string& text) {
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const std::pair<std::string, std::string> ends = absl::StrSplit(part, absl::MaxSplits('-', 1));
    const bool is_range = absl::StrContains(part, '-');
    int64_t first = 0, last = 0;
    const auto parse = [](const std::string& digits, int64_t* cpu) {
      return !digits.empty() && digits.find_first_not_of("0123456789") == std::string::npos &&
             absl::SimpleAtoi(digits, cpu) && *cpu < kCpusMax;
    };
    if (!parse(ends.first, &first) || (is_range && (!parse(ends.second, &last) || last < first))) return false;
  }
  return true;
}

void CheckCpuAffinity(const v1::CpuAffinity& affinity, ViolationList* wrong) {
  CheckEnum("cpu_affinity.policy", affinity.policy(), v1::CpuAffinity::Policy_IsValid, wrong);
  if (affinity.policy() == v1::CpuAffinity::LIST && affinity.cpus().empty()) {
    wrong->Add("cpu_affinity.cpus", "must name processors, as in \"0\", \"0-3\" or \"0,2\", with the policy LIST");
  }
  if (affinity.policy() != v1::CpuAffinity::LIST && !affinity.cpus().empty()) {
    wrong->Add("cpu_affinity.cpus", "is for the policy LIST only");
  }
  for (int i = 0; i < affinity.cpus_size(); ++i) {
    if (IsCpuList(affinity.cpus(i))) continue;
    wrong->Add(Element("cpu_affinity.cpus", i),
               absl::StrCat("must be processors from 0 to ", kCpusMax - 1, ", as in \"0\", \"0-3\" or \"0,2\", not ",
                            Quoted(affinity.cpus(i))));
  }
}

void CheckTimeouts(const v1::Timeouts& timeouts, ViolationList* wrong) {
  const auto check = [wrong](const std::string& name, const google::protobuf::Duration& value) {
    wrong->CheckDuration("timeouts." + name, value, absl::ZeroDuration(), kDurationMax, true);
  };
  check("request", timeouts.request());
  for (const auto& [path, timeout] : timeouts.request_by_path()) {
    const std::string name = Entry("request_by_path", path);
    if (path.empty() || path.front() != '/') wrong->Add("timeouts." + name, "the path must begin with /");
    check(name, timeout);
  }
  check("request_grace", timeouts.request_grace());
  check("keepalive", timeouts.keepalive());
  check("header", timeouts.header());
  check("io", timeouts.io());
  check("drain", timeouts.drain());
  if (timeouts.has_start()) wrong->CheckDuration("timeouts.start", timeouts.start(), kStartMin, kDurationMax, false);
}

void CheckLimits(const v1::Limits& limits, ViolationList* wrong) {
  wrong->CheckRangeOrUnset("limits.request_line_bytes", limits.request_line_bytes(), kRequestLineBytesMin,
                           kRequestLineBytesMax);
  wrong->CheckRangeOrUnset("limits.request_fields", limits.request_fields(), 1, kRequestFieldsMax);
  wrong->CheckRangeOrUnset("limits.request_field_bytes", limits.request_field_bytes(), kRequestLineBytesMin,
                           kRequestLineBytesMax);
  wrong->CheckNotNegative("limits.request_body_bytes", limits.request_body_bytes());
}

void CheckRecycling(const v1::Recycling& recycling, ViolationList* wrong) {
  wrong->CheckNotNegative("recycling.requests_max", recycling.requests_max());
  wrong->CheckNotNegative("recycling.requests_jitter", recycling.requests_jitter());
  if (recycling.requests_max() > 0 && recycling.requests_jitter() > kInt64Max - recycling.requests_max()) {
    wrong->Add("recycling.requests_jitter", "is too large beside requests_max");
  }
  if (recycling.rss_bytes_max() != 0) {
    wrong->CheckBytes("recycling.rss_bytes_max", recycling.rss_bytes_max(), kRssBytesMin, kInt64Max);
  }
  wrong->CheckDuration("recycling.lifetime_max", recycling.lifetime_max(), kLifetimeMin, kDurationMax, true);
}

void CheckProbes(const v1::Probes& probes, ViolationList* wrong) {
  const auto check = [wrong](const char* field, const std::string& path) {
    const bool is_path = path.front() == '/' && path.find_first_of("?# ") == std::string::npos;
    if (!is_path) wrong->Add(field, absl::StrCat("must be a path, as in /livez, not ", Quoted(path)));
    wrong->CheckPath(field, path);
  };
  if (!probes.liveness_path().empty()) check("probes.liveness_path", probes.liveness_path());
  if (!probes.readiness_path().empty()) check("probes.readiness_path", probes.readiness_path());
  if (!probes.liveness_path().empty() && probes.liveness_path() == probes.readiness_path()) {
    wrong->Add("probes.readiness_path", "must differ from liveness_path");
  }
}

void CheckUwsgiApi(const v1::UwsgiApi& api, ViolationList* wrong) {
  for (const auto& [name, value] : api.options()) {
    const std::string field = Entry("uwsgi_api.options", name);
    if (name.empty()) wrong->Add(field, "the name of an option must not be empty");
    if (wrong->CheckText(field, name)) wrong->CheckText(field, value);
    if (name.size() + 1 + value.size() > kUwsgiOptionBytesMax) {
      wrong->Add(field, absl::StrCat("name and value have at most ", kUwsgiOptionBytesMax, " bytes together"));
    }
  }
}

// A number needs no entry. What cannot be looked up for want of memory or a server is taken for granted: the workers'
// start will tell.
bool IsNumericId(const std::string& text) {
  uint32_t id;
  return text.find_first_not_of("0123456789") == std::string::npos && absl::SimpleAtoi(text, &id) &&
         id != std::numeric_limits<uint32_t>::max();
}

bool UserExists(const std::string& name) {
  std::vector<char> buffer(1 << 16);
  passwd entry;
  passwd* found = nullptr;
  return getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || found != nullptr;
}

bool GroupExists(const std::string& name) {
  std::vector<char> buffer(1 << 20);  // a group has a list of its members
  group entry;
  group* found = nullptr;
  return getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || found != nullptr;
}

void CheckUser(const v1::Pool& pool, ViolationList* wrong) {
  if (!pool.user().empty() && wrong->CheckText("user", pool.user()) && !IsNumericId(pool.user()) &&
      !UserExists(pool.user())) {
    wrong->Add("user", absl::StrCat("no user is named ", Quoted(pool.user())));
  }
  if (!pool.group().empty() && wrong->CheckText("group", pool.group()) && !IsNumericId(pool.group()) &&
      !GroupExists(pool.group())) {
    wrong->Add("group", absl::StrCat("no group is named ", Quoted(pool.group())));
  }
}

}  // namespace

std::vector<FieldViolation> Validate(const v1::Pool& pool) {
  ViolationList wrong;
  CheckName(pool.name(), &wrong);
  CheckApplication(pool.application(), &wrong);
  CheckListeners(pool, &wrong);
  CheckRoutes(pool, &wrong);
  CheckCores(pool, &wrong);
  CheckCpuAffinity(pool.cpu_affinity(), &wrong);
  CheckTimeouts(pool.timeouts(), &wrong);
  CheckLimits(pool.limits(), &wrong);
  CheckRecycling(pool.recycling(), &wrong);
  wrong.CheckPath("logging.access_log", pool.logging().access_log());
  wrong.CheckPath("logging.error_log", pool.logging().error_log());
  CheckEnum("logging.format", pool.logging().format(), v1::Logging::Format_IsValid, &wrong);
  CheckProbes(pool.probes(), &wrong);
  CheckUwsgiApi(pool.uwsgi_api(), &wrong);
  CheckUser(pool, &wrong);
  return wrong.Take();
}

}  // namespace greenring::control
