#include "control/config/pool_config.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "control/config/pool_limits.h"
#include "control/config/quantities.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

v1::Pool PoolOf(const std::string& text) {
  v1::Pool pool;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &pool)) << text;
  if (pool.name().empty()) pool.set_name("pools/web");
  if (pool.application().target().empty()) pool.mutable_application()->set_target("shop:app");
  return pool;
}

std::string Text(const std::vector<FieldViolation>& violations) {
  return absl::StrJoin(violations, "\n", [](std::string* out, const FieldViolation& violation) {
    absl::StrAppend(out, violation.field, ": ", violation.description);
  });
}

// Both before and after FillDefaults: the same has to be wrong.
std::string Wrong(const std::string& text) {
  v1::Pool pool = PoolOf(text);
  const std::string before = Text(Validate(pool));
  FillDefaults(&pool);
  EXPECT_EQ(Text(Validate(pool)), before);
  return before;
}

TEST(PoolConfigTest, ANameAndAnApplicationAreEnough) {
  v1::Pool pool = PoolOf("name: 'web'");
  EXPECT_EQ(Text(Validate(pool)), "");
  FillDefaults(&pool);
  EXPECT_EQ(Text(Validate(pool)), "");
  EXPECT_EQ(pool.name(), "pools/web");
  EXPECT_EQ(pool.listeners(0).address(), "127.0.0.1:8080");
  EXPECT_EQ(pool.listeners(0).protocol(), v1::Listener::HTTP);
  EXPECT_EQ(pool.listeners(0).backlog(), 4096);
  EXPECT_EQ(pool.listeners(0).unix_mode(), "");
  EXPECT_EQ(pool.workers(), 1);
  EXPECT_EQ(pool.async_cores(), 256);
  EXPECT_EQ(pool.engine(), v1::UCONTEXT);
  EXPECT_EQ(pool.stack_size_bytes(), 256 * 1024);
  EXPECT_EQ(pool.queue_depth_max(), 1024);
  EXPECT_EQ(pool.python_threads(), v1::OS);
  EXPECT_EQ(FromProto(pool.time_slice()), absl::Milliseconds(10));
  EXPECT_EQ(FromProto(pool.timeouts().keepalive()), absl::Seconds(75));
  EXPECT_EQ(FromProto(pool.timeouts().start()), absl::Seconds(60));
  EXPECT_TRUE(pool.timeouts().has_request());
  EXPECT_EQ(pool.limits().request_fields(), 100);
  EXPECT_EQ(pool.logging().error_log(), "-");
  EXPECT_EQ(pool.logging().format(), v1::Logging::TEXT);
}

TEST(PoolConfigTest, FillingInTwiceChangesNothing) {
  v1::Pool once = PoolOf("listeners { address: 'unix:/run/a' }");
  FillDefaults(&once);
  v1::Pool twice = once;
  FillDefaults(&twice);
  EXPECT_EQ(once.SerializeAsString(), twice.SerializeAsString());
  EXPECT_EQ(once.listeners(0).unix_mode(), "666");
}

TEST(PoolConfigTest, ZeroStaysWhereItMeansNone) {
  v1::Pool pool = PoolOf("queue_depth_max: 0 time_slice {} timeouts { drain {} keepalive {} }");
  FillDefaults(&pool);
  EXPECT_EQ(pool.queue_depth_max(), 0);
  EXPECT_EQ(FromProto(pool.time_slice()), absl::ZeroDuration());
  EXPECT_EQ(FromProto(pool.timeouts().drain()), absl::ZeroDuration());
  EXPECT_EQ(FromProto(pool.timeouts().keepalive()), absl::ZeroDuration());
  EXPECT_EQ(Text(Validate(pool)), "");
}

TEST(PoolConfigTest, PagesBecomeBytes) {
  v1::Pool pool = PoolOf("stack_pages: 16");
  FillDefaults(&pool);
  EXPECT_EQ(pool.stack_size_bytes(), 65536);
  EXPECT_EQ(pool.stack_pages(), 0);
  EXPECT_EQ(Wrong("stack_pages: 3"), "stack_pages: must be from 4 to 65536, not 3");
  EXPECT_EQ(Wrong("stack_pages: 16 stack_size_bytes: 65536"), "");
  EXPECT_EQ(Wrong("stack_pages: 16 stack_size_bytes: 131072"),
            "stack_pages: says 65536 bytes, but stack_size_bytes says 131072: give one of them");
}

TEST(PoolConfigTest, NumbersHaveBounds) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"workers: -1", "workers: must be from 1 to 1024, not -1"},
      {"workers: 1025", "workers: must be from 1 to 1024, not 1025"},
      {"async_cores: 100001", "async_cores: must be from 1 to 100000, not 100001"},
      {"stack_size_bytes: 16383", "stack_size_bytes: must be from 16KiB to 256MiB, not 16383"},
      {"stack_size_bytes: 268435457", "stack_size_bytes: must be from 16KiB to 256MiB, not 268435457"},
      {"queue_depth_max: -1", "queue_depth_max: must be from 0 to 1048576, not -1"},
      {"time_slice { nanos: 999999 }", "time_slice: must be 0, or from 1ms to 10s, not 999999ns"},
      {"time_slice { seconds: 11 }", "time_slice: must be 0, or from 1ms to 10s, not 11s"},
      {"audit { threshold {} }", "audit.threshold: must be from 1ms to 10s, not 0s"},
      {"timeouts { drain { seconds: -1 } }", "timeouts.drain: must be from 0s to 31536000s, not -1s"},
      {"timeouts { io { seconds: 9223372036854775807 } }", "timeouts.io: must be from 0s to 31536000s, not for ever"},
      {"timeouts { start {} }", "timeouts.start: must be from 100ms to 31536000s, not 0s"},
      {"limits { request_line_bytes: 63 }", "limits.request_line_bytes: must be from 64 to 32768, not 63"},
      {"limits { request_fields: 1001 }", "limits.request_fields: must be from 1 to 1000, not 1001"},
      {"limits { request_body_bytes: -1 }", "limits.request_body_bytes: must not be negative, but is -1"},
      {"recycling { requests_max: -1 }", "recycling.requests_max: must not be negative, but is -1"},
      {"recycling { requests_max: 9223372036854775807 requests_jitter: 1 }",
       "recycling.requests_jitter: is too large beside requests_max"},
      {"recycling { lifetime_max { nanos: 1 } }",
       "recycling.lifetime_max: must be 0, or from 1s to 31536000s, not 1ns"},
      {"listeners { address: ':1' backlog: -1 }", "listeners[0].backlog: must be from 1 to 1048576, not -1"},
  };
  for (const auto& [text, wrong] : cases) EXPECT_EQ(Wrong(text), wrong) << text;
  EXPECT_NE(Wrong("recycling { rss_bytes_max: 512 }"), "");
  EXPECT_EQ(Wrong("recycling { rss_bytes_max: 536870912 }"), "");
}

TEST(PoolConfigTest, ListenersSpeakHttpOrUwsgi) {
  EXPECT_EQ(Wrong("listeners { address: ':1' protocol: UWSGI } listeners { address: ':2' protocol: HTTP }"), "");
  v1::Pool pool = PoolOf("listeners { address: ':1' protocol: UWSGI }");
  FillDefaults(&pool);
  EXPECT_EQ(pool.listeners(0).protocol(), v1::Listener::UWSGI);
}

TEST(PoolConfigTest, OptionsForUwsgiAreTexts) {
  EXPECT_EQ(Wrong("uwsgi_api { enabled: true options { key: 'a' value: 'x=y' } }"), "");
  EXPECT_EQ(Wrong("uwsgi_api { options { key: '' value: 'x' } }"),
            "uwsgi_api.options[\"\"]: the name of an option must not be empty");
  EXPECT_NE(Wrong("uwsgi_api { options { key: 'a' value: '\\000' } }"), "");
  EXPECT_NE(Wrong(absl::StrCat("uwsgi_api { options { key: 'a' value: '", std::string(131071, 'x'), "' } }")), "");
}

TEST(PoolConfigTest, ValuesFromTheFutureAreRefused) {
  v1::Pool pool = PoolOf("");
  pool.set_engine(static_cast<v1::Engine>(77));
  pool.set_python_threads(static_cast<v1::PythonThreads>(78));
  EXPECT_EQ(Text(Validate(pool)),
            "engine: this version knows no value 77\npython_threads: this version knows no value 78");
}

TEST(PoolConfigTest, NamesAreThoseOfLabels) {
  for (const char* name : {"web", "pools/web", "a-1", "pools/a"}) {
    EXPECT_EQ(Wrong(absl::StrCat("name: '", name, "'")), "") << name;
  }
  for (const std::string& name : std::vector<std::string>{"pools/", "Web", "1a", "-a", "a_b", "pools/a/b", "a b",
                                                          "pools/pools/a", std::string(64, 'a')}) {
    EXPECT_EQ(Wrong(absl::StrCat("name: '", name, "'")).substr(0, 18), "name: must be 1 to") << name;
  }
}

TEST(PoolConfigTest, AnApplicationIsNeededAndItsTextsAreFitForTheSystem) {
  v1::Pool pool;
  pool.set_name("pools/web");
  EXPECT_EQ(Text(Validate(pool)).substr(0, 45), "application.target: must name the application");
  EXPECT_EQ(Wrong("application { target: 'a' environment { key: 'A=B' value: '1' } }"),
            "application.environment[\"A=B\"]: the name of a variable must not be empty or contain =");
  EXPECT_EQ(Wrong("application { target: 'a' environment { key: 'A' value: 'x\\000y' } }"),
            "application.environment[\"A\"]: must not contain a null byte");
  EXPECT_EQ(Wrong("application { target: 'a' python_path: '' }"), "application.python_path[0]: must name a directory");
  EXPECT_EQ(Wrong(absl::StrCat("logging { access_log: '", std::string(4096, 'x'), "' }")),
            "logging.access_log: a path has at most 4095 bytes, not 4096");
}

TEST(PoolConfigTest, ListenersAreAddressesEachOnce) {
  EXPECT_EQ(Wrong("listeners { address: ':80' } listeners { address: '[::1]:0' } listeners { address: '[::1]:0' }"),
            "");
  EXPECT_EQ(Wrong("listeners { address: ':80' } listeners { address: '*:80' }"),
            "listeners[1].address: *:80 is there twice");
  EXPECT_EQ(Wrong("listeners { address: '80' }"),
            "listeners[0].address: must be host:port, [IPv6]:port or unix:/path, not \"80\": it has no port");
  EXPECT_EQ(Wrong("listeners { address: ':80' unix_mode: '660' }"), "listeners[0].unix_mode: is for unix sockets only");
  EXPECT_EQ(Wrong("listeners { address: 'unix:/a' unix_mode: '980' }"),
            "listeners[0].unix_mode: must be three octal digits, as in 660, not \"980\"");
  EXPECT_EQ(Wrong("listeners { address: 'unix:/a' unix_mode: '0660' }"), "");
}

TEST(PoolConfigTest, RoutesHaveAHostOrWholeSegmentsOfAPath) {
  EXPECT_EQ(Wrong("routes { host: 'shop.example.com' } routes { host: '*.example.com' path_prefix: '/a/b' }"), "");
  EXPECT_NE(Wrong("routes {}"), "");
  for (const char* host : {"shop:80", "*", "*.", "a..b", "http://a", "a b"}) {
    EXPECT_EQ(Wrong(absl::StrCat("routes { host: '", host, "' }")).substr(0, 15), "routes[0].host:") << host;
  }
  for (const char* prefix : {"shop", "/shop/", "/", "/a//b", "/a/../b", "/a?b", "/a%2fb", "/a b"}) {
    EXPECT_EQ(Wrong(absl::StrCat("routes { path_prefix: '", prefix, "' }")).substr(0, 22), "routes[0].path_prefix:")
        << prefix;
  }
  EXPECT_EQ(Wrong("routes { host: 'A' path_prefix: '/x' } routes { host: 'a' path_prefix: '/x' }"),
            "routes[1]: the same route is there twice");
}

TEST(PoolConfigTest, ProcessorsAreListsAndRangesForTheirPolicyOnly) {
  EXPECT_EQ(Wrong("cpu_affinity { policy: LIST cpus: '0' cpus: '0-3' cpus: '0,2,4-5' }"), "");
  for (const char* cpus : {"", "a", "3-1", "0-", "-1", "1024", "0,", "0x1"}) {
    EXPECT_EQ(Wrong(absl::StrCat("cpu_affinity { policy: LIST cpus: '", cpus, "' }")).substr(0, 21),
              "cpu_affinity.cpus[0]:")
        << cpus;
  }
  EXPECT_NE(Wrong("cpu_affinity { policy: LIST }"), "");
  EXPECT_EQ(Wrong("cpu_affinity { policy: SPREAD cpus: '0' }"), "cpu_affinity.cpus: is for the policy LIST only");
}

TEST(PoolConfigTest, PathsOfTimeoutsAndProbesBeginWithASlash) {
  EXPECT_EQ(Wrong("timeouts { request_by_path { key: 'export' value { seconds: 1 } } }"),
            "timeouts.request_by_path[\"export\"]: the path must begin with /");
  EXPECT_EQ(Wrong("probes { liveness_path: 'livez' }"),
            "probes.liveness_path: must be a path, as in /livez, not \"livez\"");
  EXPECT_EQ(Wrong("probes { liveness_path: '/z' readiness_path: '/z' }"),
            "probes.readiness_path: must differ from liveness_path");
}

TEST(PoolConfigTest, UsersAndGroupsExistOrAreNumbers) {
  EXPECT_EQ(Wrong("user: 'root' group: 'root'"), "");
  EXPECT_EQ(Wrong("user: '12345' group: '54321'"), "");
  EXPECT_EQ(Wrong("user: 'no-such-user' group: 'no-such-group'"),
            "user: no user is named \"no-such-user\"\ngroup: no group is named \"no-such-group\"");
  EXPECT_EQ(Wrong("user: '4294967295'"), "user: no user is named \"4294967295\"");
}

TEST(PoolConfigTest, EverythingThatIsWrongIsSaidAtOnce) {
  EXPECT_EQ(Wrong("workers: -1 async_cores: -1 limits { request_fields: -2 }"),
            "workers: must be from 1 to 1024, not -1\n"
            "async_cores: must be from 1 to 100000, not -1\n"
            "limits.request_fields: must be from 1 to 1000, not -2");
}

TEST(PoolConfigTest, WhatIsQuotedInErrorsIsCutAndEscaped) {
  const std::string wrong = Wrong(absl::StrCat("name: 'x\\n", std::string(1000, 'y'), "'"));
  EXPECT_LT(wrong.size(), 400u);
  EXPECT_EQ(wrong.find('\n'), std::string::npos);
}

TEST(PoolConfigTest, PoolsHaveTheirOwnNames) {
  const v1::Pool web = PoolOf("name: 'pools/web' listeners { address: ':80' }");
  EXPECT_EQ(Text(ValidateTogether({web, PoolOf("name: 'web' listeners { address: ':81' }")})),
            "pools[1].name: pools[0] is named \"web\" too");
}

TEST(PoolConfigTest, PoolsThatShareAnAddressAreToldApartByTheirRoutes) {
  const v1::Pool web = PoolOf("name: 'pools/web' listeners { address: ':80' } listeners { address: ':443' }");
  const v1::Pool api = PoolOf("name: 'api' listeners { address: '*:80' } routes { path_prefix: '/api' }");
  EXPECT_EQ(Text(ValidateTogether({web, api})), "");
  EXPECT_EQ(
      Text(ValidateTogether({web, PoolOf("name: 'b' listeners { address: '*:443' } listeners { address: '*:80' }")})),
      "pools[1].routes: pools[0], \"web\", listens on *:443 too, and neither has routes: give one of them some");
  EXPECT_EQ(Text(ValidateTogether({api, web,
                                   PoolOf("name: 'c' listeners { address: ':80' } routes { host: 'a' } "
                                          "routes { path_prefix: '/api' }")})),
            "pools[2].routes[1]: /api is a route of pools[0], \"api\", already, which listens on *:80 too");
  EXPECT_EQ(
      Text(ValidateTogether(
          {PoolOf("name: 'a' listeners { address: 'unix:/s' } routes { host: 'Shop.EXAMPLE' path_prefix: '/a' }"),
           PoolOf("name: 'b' listeners { address: 'unix:/s' } routes { host: 'shop.example' path_prefix: '/a' }")})),
      "pools[1].routes[0]: shop.example/a is a route of pools[0], \"a\", already, which listens on unix:/s too");
}

TEST(PoolConfigTest, PoolsWithAddressesOfTheirOwnNeedNoRoutesAndMayHaveTheSame) {
  const std::string routes = " routes { path_prefix: '/api' }";
  EXPECT_EQ(Text(ValidateTogether({PoolOf("name: 'a' listeners { address: ':80' }" + routes),
                                   PoolOf("name: 'b' listeners { address: ':81' }" + routes),
                                   PoolOf("name: 'c' listeners { address: ':0' }"),
                                   PoolOf("name: 'd' listeners { address: ':0' }")})),
            "");
}

TEST(PoolConfigTest, PoolsThatShareAnAddressAgreeOnItsListener) {
  const v1::Pool web = PoolOf("name: 'web' listeners { address: 'unix:/s' backlog: 4096 unix_mode: '0666' }");
  EXPECT_EQ(Text(ValidateTogether({web, PoolOf("name: 'b' listeners { address: 'unix:/s' } routes { host: 'b' }")})),
            "")
      << "defaults count, and a leading 0 does not";
  EXPECT_EQ(
      Text(ValidateTogether({web, PoolOf("name: 'b' listeners { address: 'unix:/s' backlog: 7 unix_mode: '660' } "
                                         "routes { host: 'b' }")})),
      "pools[1].listeners[0].backlog: is 7, but pools[0], \"web\", says 4096 of unix:/s: pools that share it must "
      "agree\n"
      "pools[1].listeners[0].unix_mode: is \"660\", but pools[0], \"web\", says \"0666\" of unix:/s: pools that "
      "share it must agree");
}

TEST(PoolConfigTest, AConfigurationIsCheckedAsAWhole) {
  v1::Configuration configuration;
  *configuration.add_pools() = PoolOf("workers: 5000 listeners { address: '127.0.0.1:9' }");
  configuration.mutable_control()->add_addresses("off");
  configuration.mutable_control()->add_addresses("10.0.0.1:8443");
  configuration.mutable_control()->set_tls_key("key.pem");
  configuration.mutable_control()->set_tls_client_ca("ca.pem");
  configuration.mutable_metrics()->set_address("127.0.0.1:9");
  EXPECT_EQ(Text(Validate(configuration)),
            "pools[0].workers: must be from 1 to 1024, not 5000\n"
            "control.addresses[0]: off stands alone\n"
            "control.tls_certificate: must name a PEM file: an address of the API that is no unix socket takes mutual "
            "TLS\n"
            "pools[0].listeners[0].address: 127.0.0.1:9 is the address of metrics.address already");
}

TEST(PoolConfigTest, TheDefaultControlAddressIsASocketInTheRuntimeDirectory) {
  v1::Configuration configuration;
  FillDefaults(&configuration);
  ASSERT_EQ(configuration.control().addresses_size(), 1);
  EXPECT_EQ(configuration.control().addresses(0), DefaultControlAddress());
  EXPECT_EQ(configuration.control().addresses(0).substr(0, 6), "unix:/");
  EXPECT_EQ(Text(Validate(configuration)), "");
}

}  // namespace
}  // namespace greenring::control
