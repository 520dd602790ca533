#include "control/config/flags.h"

#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "control/config/flag_table.h"
#include "control/config/quantities.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

using Mode = CommandLine::Mode;

absl::StatusOr<CommandLine> Parse(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "server");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  return ParseCommandLine(static_cast<int>(arguments.size()), argv.data());
}

std::string ErrorOf(std::vector<std::string> arguments) {
  return std::string(Parse(std::move(arguments)).status().message());
}

// The pool that the flags, and --app=a before them, describe.
v1::Pool PoolOf(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "--app=a");
  const absl::StatusOr<CommandLine> line = Parse(std::move(arguments));
  EXPECT_TRUE(line.ok()) << std::string(line.status().message());
  return line.ok() && line->configuration.pools_size() == 1 ? line->configuration.pools(0) : v1::Pool();
}

class ConfigFile {
 public:
  explicit ConfigFile(const std::string& text) {
    char name[] = "/tmp/greenring_flags_XXXXXX";
    close(mkstemp(name));
    path_ = name;
    std::ofstream(path_) << text;
  }
  ~ConfigFile() { unlink(path_.c_str()); }

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(FlagsTest, DefaultsNeedOnlyAnApplication) {
  const absl::StatusOr<CommandLine> line = Parse({"--app=shop:app"});
  ASSERT_TRUE(line.ok());
  EXPECT_EQ(line->mode, Mode::kServe);
  ASSERT_EQ(line->configuration.pools_size(), 1);
  const v1::Pool& pool = line->configuration.pools(0);
  EXPECT_EQ(pool.name(), "pools/web");
  EXPECT_EQ(pool.application().target(), "shop:app");
  EXPECT_EQ(pool.listeners(0).address(), "127.0.0.1:8080");
  EXPECT_EQ(pool.engine(), v1::UCONTEXT);
  EXPECT_EQ(pool.workers(), 1);
  EXPECT_EQ(pool.async_cores(), 256);
  EXPECT_EQ(pool.stack_size_bytes(), 256 * 1024);
  EXPECT_EQ(line->configuration.control().addresses_size(), 1);
}

TEST(FlagsTest, EveryFieldOfTheTableExistsAndHasATypeThatFlagsRead) {
  // A value of each kind; what is wrong with it is not the table's fault.
  for (const Flag& flag : Flags()) {
    FlagTarget target;
    (void)ApplyFlag(flag, "1", &target);
  }
}

TEST(FlagsTest, RepeatedAndListedAddressesAddUp) {
  const v1::Pool pool = PoolOf({"--http=:1,unix:/x", "--listen_backlog=7", "--http", "[::1]:2"});
  ASSERT_EQ(pool.listeners_size(), 3);
  EXPECT_EQ(pool.listeners(0).address(), ":1");
  EXPECT_EQ(pool.listeners(1).address(), "unix:/x");
  EXPECT_EQ(pool.listeners(1).unix_mode(), "666");
  EXPECT_EQ(pool.listeners(2).address(), "[::1]:2");
  EXPECT_EQ(pool.listeners(2).backlog(), 7);
  EXPECT_EQ(PoolOf({"--listen_backlog=7"}).listeners(0).backlog(), 7);
  EXPECT_EQ(ErrorOf({"--app=a", "--http=,"}), "--http=,: must not be empty");
}

TEST(FlagsTest, ARouteIsAHostAPathOrBoth) {
  const v1::Pool pool = PoolOf({"--route=example.com/shop/v2", "--route=/api", "--route=*.example.com"});
  ASSERT_EQ(pool.routes_size(), 3);
  EXPECT_EQ(pool.routes(0).host(), "example.com");
  EXPECT_EQ(pool.routes(0).path_prefix(), "/shop/v2");
  EXPECT_EQ(pool.routes(1).host(), "");
  EXPECT_EQ(pool.routes(1).path_prefix(), "/api");
  EXPECT_EQ(pool.routes(2).host(), "*.example.com");
  EXPECT_EQ(pool.routes(2).path_prefix(), "");
  EXPECT_EQ(ErrorOf({"--app=a", "--route="}), "--route=: must be a host, a path, or both, as in example.com/api");
  EXPECT_EQ(ErrorOf({"--app=a", "--route=/api/"}).substr(0, 8), "--route:");
}

TEST(FlagsTest, DashesAndUnderscoresAreTheSameInNamesOnly) {
  const v1::Pool pool = PoolOf({"--app=my-app:my_app", "--async-cores=7"});
  EXPECT_EQ(pool.application().target(), "my-app:my_app");
  EXPECT_EQ(pool.async_cores(), 7);
}

TEST(FlagsTest, NamesAreNotAbbreviated) {
  EXPECT_EQ(ErrorOf({"--app=a", "--worker=4"}), "unknown flag --worker=4 (did you mean --workers?); --help lists them");
  EXPECT_EQ(ErrorOf({"--app=a", "--async", "4"}).substr(0, 20), "unknown flag --async");
}

TEST(FlagsTest, WhatUwsgiCallsOtherwiseIsTold) {
  EXPECT_EQ(ErrorOf({"--ugreen-stacksize=128"}),
            "unknown flag --ugreen_stacksize=128 (here it is --stack_pages=N; docs/MIGRATION.md has the others); "
            "--help lists them");
}

TEST(FlagsTest, StackSizeIsTakenInBytesAndInPagesAndTheLastOneWins) {
  EXPECT_EQ(PoolOf({"--stack_size=64KiB"}).stack_size_bytes(), 65536);
  EXPECT_EQ(PoolOf({"--stack_size=1m"}).stack_size_bytes(), 1048576);
  EXPECT_EQ(PoolOf({"--stack_size=65536"}).stack_size_bytes(), 65536);
  EXPECT_EQ(PoolOf({"--stack_pages=16"}).stack_size_bytes(), 65536);
  EXPECT_EQ(PoolOf({"--stack_size=1m", "--stack_pages=16"}).stack_size_bytes(), 65536);
  EXPECT_EQ(PoolOf({"--stack_pages=16", "--stack_size=1m"}).stack_size_bytes(), 1048576);
}

TEST(FlagsTest, TimeoutsAreDurationsOrSeconds) {
  EXPECT_EQ(FromProto(PoolOf({"--drain_timeout=1m30s"}).timeouts().drain()), absl::Seconds(90));
  EXPECT_EQ(FromProto(PoolOf({"--drain_timeout=0.5"}).timeouts().drain()), absl::Milliseconds(500));
  EXPECT_EQ(FromProto(PoolOf({"--drain_timeout=0"}).timeouts().drain()), absl::ZeroDuration());
  EXPECT_EQ(ErrorOf({"--app=a", "--start_timeout=0"}), "--start_timeout: must be from 100ms to 31536000s, not 0s");
}

TEST(FlagsTest, ATimeSliceIsZeroOrFromAMillisecondToTenSeconds) {
  EXPECT_EQ(FromProto(PoolOf({}).time_slice()), absl::Milliseconds(10));
  EXPECT_EQ(FromProto(PoolOf({"--time_slice=0"}).time_slice()), absl::ZeroDuration());
  EXPECT_EQ(FromProto(PoolOf({"--time_slice=1ms"}).time_slice()), absl::Milliseconds(1));
  EXPECT_EQ(FromProto(PoolOf({"--time_slice=10"}).time_slice()), absl::Seconds(10));
  EXPECT_EQ(ErrorOf({"--app=a", "--time_slice=11s"}), "--time_slice: must be 0, or from 1ms to 10s, not 11s");
  for (const char* wrong : {"0.9ms", "-1ms", "fast"}) {
    EXPECT_TRUE(absl::StartsWith(ErrorOf({"--app=a", absl::StrCat("--time_slice=", wrong)}), "--time_slice")) << wrong;
  }
}

TEST(FlagsTest, TheAuditIsOffUnlessItIsAskedFor) {
  EXPECT_FALSE(PoolOf({}).audit().enabled());
  const v1::Pool pool = PoolOf({"--audit", "--audit-threshold=50ms"});
  EXPECT_TRUE(pool.audit().enabled());
  EXPECT_EQ(FromProto(pool.audit().threshold()), absl::Milliseconds(50));
  EXPECT_EQ(ErrorOf({"--app=a", "--audit=yes"}), "--audit takes no value");
  EXPECT_EQ(ErrorOf({"--app=a", "--audit_threshold=0"}), "--audit_threshold: must be from 1ms to 10s, not 0s");
}

TEST(FlagsTest, RequestTimeoutsAreForAllOrForAPath) {
  const v1::Pool pool = PoolOf({"--request_timeout=30s", "--request_timeout=/export=5m", "--request_timeout=/a=b=0"});
  EXPECT_EQ(FromProto(pool.timeouts().request()), absl::Seconds(30));
  EXPECT_EQ(FromProto(pool.timeouts().request_by_path().at("/export")), absl::Minutes(5));
  EXPECT_EQ(FromProto(pool.timeouts().request_by_path().at("/a=b")), absl::ZeroDuration());
  for (const char* text : {"/export", "shop=3s", "=3s", "/export=", "/export=soon", ""}) {
    EXPECT_FALSE(Parse({"--app=a", absl::StrCat("--request_timeout=", text)}).ok()) << text;
  }
}

TEST(FlagsTest, WordsAreThoseOfTheHelp) {
  EXPECT_FALSE(PoolOf({}).cancel_on_disconnect());
  EXPECT_TRUE(PoolOf({"--cancel_on_disconnect=on"}).cancel_on_disconnect());
  EXPECT_EQ(ErrorOf({"--app=a", "--cancel_on_disconnect=1"}), "--cancel_on_disconnect=1: must be on or off");
  EXPECT_EQ(PoolOf({"--engine=thread"}).engine(), v1::THREAD);
  EXPECT_EQ(PoolOf({"--python_threads=green"}).python_threads(), v1::GREEN);
  EXPECT_EQ(PoolOf({"--log_format=json"}).logging().format(), v1::Logging::JSON);
  EXPECT_EQ(ErrorOf({"--app=a", "--log_format=xml"}), "--log_format=xml: must be text or json");
  EXPECT_EQ(ErrorOf({"--app=a", "--engine=steam"}), "--engine=steam: must be ucontext|fcontext|thread|greenlet|gevent");
  EXPECT_EQ(PoolOf({"--engine=gevent"}).engine(), v1::GEVENT);
  EXPECT_EQ(ErrorOf({"--app=a", "--engine=engine_unspecified"}).substr(0, 9), "--engine=");
}

TEST(FlagsTest, TheUwsgiProtocolHasAddressesOfItsOwn) {
  const v1::Pool alone = PoolOf({"--uwsgi=:3031,unix:/run/a", "--uwsgi=:3032"});
  ASSERT_EQ(alone.listeners_size(), 3);
  for (const v1::Listener& listener : alone.listeners()) EXPECT_EQ(listener.protocol(), v1::Listener::UWSGI);
  EXPECT_EQ(alone.listeners(1).address(), "unix:/run/a");
  const v1::Pool both = PoolOf({"--uwsgi=:3031", "--http=:8080", "--listen_backlog=7"});
  ASSERT_EQ(both.listeners_size(), 2);
  EXPECT_EQ(both.listeners(0).protocol(), v1::Listener::UWSGI);
  EXPECT_EQ(both.listeners(1).protocol(), v1::Listener::HTTP);
  EXPECT_EQ(both.listeners(0).backlog(), 7);
  EXPECT_EQ(ErrorOf({"--app=a", "--uwsgi="}), "--uwsgi=: must not be empty");
  EXPECT_EQ(ErrorOf({"--app=a", "--uwsgi=:1", "--http=:1"}).substr(0, 5), "--htt");
}

TEST(FlagsTest, WhatUwsgisApplicationsFind) {
  const v1::Pool pool =
      PoolOf({"--uwsgi_api", "--uwsgi_opt=a=x=y", "--uwsgi-opt=b", "--uwsgi_opt=c=", "--gevent_monkey_patch"});
  EXPECT_TRUE(pool.uwsgi_api().enabled());
  EXPECT_EQ(pool.uwsgi_api().options().at("a"), "x=y");
  EXPECT_EQ(pool.uwsgi_api().options().at("b"), "true");
  EXPECT_EQ(pool.uwsgi_api().options().at("c"), "");
  EXPECT_TRUE(pool.gevent().monkey_patch());
  EXPECT_FALSE(PoolOf({}).uwsgi_api().enabled());
  EXPECT_EQ(ErrorOf({"--app=a", "--uwsgi_opt==x"}).substr(0, 16), "--uwsgi_opt==x: ");
}

TEST(FlagsTest, WorkersAreANumberOrOneForEachCpu) {
  EXPECT_EQ(PoolOf({"--workers=4"}).workers(), 4);
  EXPECT_EQ(PoolOf({"-w", "4"}).workers(), 4);
  EXPECT_EQ(PoolOf({"-w4"}).workers(), 4);
  EXPECT_GE(PoolOf({"--workers=auto"}).workers(), 1);
  EXPECT_EQ(ErrorOf({"--app=a", "-w", "many"}), "--workers=many: must be a number from 1 to 1024, or auto");
}

TEST(FlagsTest, CpusAreAnyOneEachOrListed) {
  EXPECT_EQ(PoolOf({}).cpu_affinity().policy(), v1::CpuAffinity::NONE);
  EXPECT_EQ(PoolOf({"--cpu_affinity=spread"}).cpu_affinity().policy(), v1::CpuAffinity::SPREAD);
  const v1::CpuAffinity affinity = PoolOf({"--cpu_affinity=0,2,4-5"}).cpu_affinity();
  EXPECT_EQ(affinity.policy(), v1::CpuAffinity::LIST);
  EXPECT_EQ(std::vector<std::string>(affinity.cpus().begin(), affinity.cpus().end()),
            (std::vector<std::string>{"0", "2", "4-5"}));
  EXPECT_EQ(ErrorOf({"--app=a", "--cpu_affinity=all"}).substr(0, 35), "--cpu_affinity: must be processors ");
}

TEST(FlagsTest, TheEnvironmentIsNamesAndValues) {
  const v1::Pool pool = PoolOf({"--env=A=1", "--env", "B=x=y", "--env=C="});
  EXPECT_EQ(pool.application().environment().at("A"), "1");
  EXPECT_EQ(pool.application().environment().at("B"), "x=y");
  EXPECT_EQ(pool.application().environment().at("C"), "");
  EXPECT_EQ(ErrorOf({"--app=a", "--env=A"}), "--env=A: must be a name and a value, as in DEBUG=1");
}

TEST(FlagsTest, RecyclingLimitsAndProbesAreTheFieldsOfTheirNames) {
  const v1::Pool pool =
      PoolOf({"--max_requests=1000", "--max_requests_jitter=100", "--max_worker_rss=512MiB", "--max_worker_lifetime=1h",
              "--limit_request_body=1k", "--limit_request_line=100", "--liveness_path=/l", "--readiness_path=/r",
              "--user=root", "--group=0", "--pythonpath=a,b", "--pythonpath=c", "--queue_depth_max=0"});
  EXPECT_EQ(pool.recycling().requests_max(), 1000);
  EXPECT_EQ(pool.recycling().requests_jitter(), 100);
  EXPECT_EQ(pool.recycling().rss_bytes_max(), 512 << 20);
  EXPECT_EQ(FromProto(pool.recycling().lifetime_max()), absl::Hours(1));
  EXPECT_EQ(pool.limits().request_body_bytes(), 1024);
  EXPECT_EQ(pool.limits().request_line_bytes(), 100);
  EXPECT_EQ(pool.probes().liveness_path(), "/l");
  EXPECT_EQ(pool.probes().readiness_path(), "/r");
  EXPECT_EQ(pool.user(), "root");
  EXPECT_EQ(pool.group(), "0");
  EXPECT_EQ(pool.application().python_path_size(), 3);
  EXPECT_TRUE(pool.has_queue_depth_max());
  EXPECT_EQ(pool.queue_depth_max(), 0);
}

TEST(FlagsTest, TheServersOwnAreOfTheWholeConfiguration) {
  const absl::StatusOr<CommandLine> line =
      Parse({"--app=a", "--control=unix:/a,unix:/b", "--control=unix:/c", "--metrics=127.0.0.1:9101", "--state_dir=/s",
             "--pid_file=/p", "--name=shop"});
  ASSERT_TRUE(line.ok()) << std::string(line.status().message());
  EXPECT_EQ(line->configuration.control().addresses_size(), 3);
  EXPECT_EQ(line->configuration.metrics().address(), "127.0.0.1:9101");
  EXPECT_EQ(line->configuration.state_directory(), "/s");
  EXPECT_EQ(line->configuration.pid_file(), "/p");
  EXPECT_EQ(line->configuration.pools(0).name(), "pools/shop");
  EXPECT_TRUE(absl::StartsWith(ErrorOf({"--app=a", "--control=10.0.0.1:9"}), "control.tls_certificate: must name"));
  EXPECT_TRUE(absl::StartsWith(ErrorOf({"--app=a", "--metrics=x"}), "--metrics: must be host:port"));
}

TEST(FlagsTest, TheFormatOfLogsIsThePoolsAndTheServers) {
  EXPECT_EQ(Parse({"--app=a"})->configuration.log_format(), v1::Logging::TEXT);
  EXPECT_EQ(Parse({"--app=a", "--log_format=json"})->configuration.log_format(), v1::Logging::JSON);
  const ConfigFile file("pools: [{name: a, application: {target: x}}]\nlog_format: json\n");
  const absl::StatusOr<CommandLine> line = Parse({"--config", file.path()});
  ASSERT_TRUE(line.ok()) << std::string(line.status().message());
  EXPECT_EQ(line->configuration.log_format(), v1::Logging::JSON);
  EXPECT_EQ(line->configuration.pools(0).logging().format(), v1::Logging::TEXT);
}

TEST(FlagsTest, AStateDirectoryMayHaveThePools) {
  const absl::StatusOr<CommandLine> line = Parse({"--state_dir=/s"});
  ASSERT_TRUE(line.ok()) << std::string(line.status().message());
  EXPECT_EQ(line->configuration.pools_size(), 0);
  EXPECT_TRUE(absl::StartsWith(ErrorOf({"--state_dir=/s", "--workers=2"}), "no application"));
}

TEST(FlagsTest, AFileHasThePoolsAndFlagsOfTheServerWinOverIt) {
  const ConfigFile file(
      "pools: [{name: a, application: {target: x}}]\ncontrol: {addresses: ['unix:/x']}\npid_file: /p\n");
  const absl::StatusOr<CommandLine> line = Parse({"--control=unix:/y", "--config", file.path(), "--state_dir=/s"});
  ASSERT_TRUE(line.ok()) << std::string(line.status().message());
  EXPECT_EQ(line->mode, Mode::kServe);
  EXPECT_EQ(line->configuration.pools(0).name(), "pools/a");
  ASSERT_EQ(line->configuration.control().addresses_size(), 1);
  EXPECT_EQ(line->configuration.control().addresses(0), "unix:/y");
  EXPECT_EQ(line->configuration.pid_file(), "/p");
  EXPECT_EQ(line->configuration.state_directory(), "/s");
  EXPECT_EQ(ErrorOf({"--config=" + file.path(), "--workers=4"}),
            "--workers=4 cannot stand beside --config: set workers in the pool it is for, in " + file.path());
  EXPECT_EQ(Parse({"--config=" + file.path(), "--validate"})->mode, Mode::kValidate);
}

TEST(FlagsTest, WhatIsWrongWithAFileIsSaidWithItsLine) {
  const ConfigFile file("pools:\n- name: a\n  wrokers: 3\n");
  EXPECT_EQ(ErrorOf({"--config=" + file.path()}),
            file.path() + ":3:3: pools[0].wrokers: there is no such field (did you mean workers?)");
  EXPECT_EQ(ErrorOf({"--config=/no/such.yaml"}), "/no/such.yaml: cannot be read: No such file or directory");
}

TEST(FlagsTest, WithoutAMasterThereIsOneWorker) {
  EXPECT_EQ(Parse({"--app=a", "--master=off"})->mode, Mode::kAlone);
  EXPECT_EQ(Parse({"--app=a", "--master=off", "--workers=1"})->mode, Mode::kAlone);
  EXPECT_EQ(Parse({"--app=a", "--master=off", "--master=on"})->mode, Mode::kServe);
  for (const char* flag : {"--workers=2", "--control=off", "--metrics=:9", "--state_dir=/s", "--cpu_affinity=spread"}) {
    EXPECT_EQ(ErrorOf({"--app=a", "--master=off", flag}),
              absl::StrCat(flag, " needs a master: leave --master=off out"));
  }
  const ConfigFile file("pools: [{name: a, workers: 2, application: {target: x}}]\n");
  EXPECT_EQ(ErrorOf({"--master=off", "--config=" + file.path()}), "--master=off is for one pool with one worker");
}

TEST(FlagsTest, WithoutAMasterWhatOnlyAMasterDoesIsRefusedInAFileToo) {
  const ConfigFile pinned("pools: [{name: a, cpu_affinity: {policy: spread}, application: {target: x}}]\n");
  EXPECT_EQ(ErrorOf({"--master=off", "--config=" + pinned.path()}),
            "pools[0].cpu_affinity needs a master: leave --master=off out");
  const ConfigFile mode(
      "pools: [{name: a, listeners: [{address: 'unix:/a', unix_mode: 600}], application: {target: x}}]\n");
  EXPECT_EQ(ErrorOf({"--master=off", "--config=" + mode.path()}),
            "pools[0].listeners[0].unix_mode needs a master: leave --master=off out");
}

TEST(FlagsTest, BadValuesNameTheFlagTheValueAndWhatIsPossible) {
  EXPECT_EQ(ErrorOf({"--app=a", "--async_cores=0"}), "--async_cores=0: must be a number from 1 to 100000");
  EXPECT_EQ(ErrorOf({"--app=a", "--async_cores=many"}), "--async_cores=many: must be a number from 1 to 100000");
  EXPECT_EQ(ErrorOf({"--app=a", "--max_requests=-1"}), "--max_requests=-1: must be a number not below 0");
  EXPECT_EQ(ErrorOf({"--app=a", "--stack_size=1KiB"}),
            "--stack_size=1KiB: must be a size from 16KiB to 256MiB, as in 256KiB or 1MiB");
  EXPECT_TRUE(absl::StrContains(ErrorOf({"--app=a", "--stack_size=99999999999999999999g"}), "must be a size"));
  EXPECT_EQ(ErrorOf({"--app=a", "--limit_request_body=x"}),
            "--limit_request_body=x: must be a size, as in 256KiB or 1MiB");
  for (const char* wrong : {"-1", "nan", "soon", ""}) {
    EXPECT_EQ(ErrorOf({"--app=a", absl::StrCat("--drain_timeout=", wrong)}),
              absl::StrCat("--drain_timeout=", wrong, ": must be a duration from 0 to a year, as in 30s, 500ms or 2m"));
  }
  EXPECT_EQ(
      ErrorOf({"--app=a", "--http=127.0.0.1:99999"}),
      "--http: must be host:port, [IPv6]:port or unix:/path, not \"127.0.0.1:99999\": the port is no number from 0 "
      "to 65535");
  EXPECT_EQ(ErrorOf({"--app=\xff"}), "--app: must be UTF-8");
}

TEST(FlagsTest, UnknownIncompleteAndMisplacedArgumentsAreRefused) {
  EXPECT_EQ(ErrorOf({"--app=a", "--warp_speed=4"}), "unknown flag --warp_speed=4; --help lists them");
  EXPECT_EQ(ErrorOf({"--app=a", "-x"}), "unknown flag -x; --help lists them");
  EXPECT_EQ(ErrorOf({"--app"}), "--app needs a value");
  EXPECT_EQ(ErrorOf({"--app=a", "-w"}), "-w needs a value");
  EXPECT_TRUE(absl::StrContains(ErrorOf({"shop:app"}), "unexpected argument shop:app"));
  EXPECT_TRUE(absl::StrContains(ErrorOf({}), "no application"));
}

TEST(FlagsTest, HelpWinsNamesEveryFlagAndFitsTheScreen) {
  EXPECT_EQ(Parse({"--help"})->mode, Mode::kHelp);
  EXPECT_EQ(Parse({"--app=a", "--workers=many", "-h"})->mode, Mode::kHelp);
  EXPECT_EQ(Parse({"--version"})->mode, Mode::kVersion);
  for (const Flag& flag : Flags()) {
    EXPECT_TRUE(absl::StrContains(HelpText(), absl::StrCat("\n  --", flag.name, flag.value != nullptr ? "=" : "\n")))
        << flag.name;
  }
  for (const absl::string_view line : absl::StrSplit(HelpText(), '\n')) EXPECT_LE(line.size(), 100u) << line;
}

}  // namespace
}  // namespace greenring::control
