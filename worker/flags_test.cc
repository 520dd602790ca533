#include "worker/flags.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "worker/http_service.h"

namespace greenring::worker {
namespace {

absl::StatusOr<ParsedFlags> Parse(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "server");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  return ParseFlags(static_cast<int>(arguments.size()), argv.data());
}

std::string ErrorOf(std::vector<std::string> arguments) {
  return std::string(Parse(std::move(arguments)).status().message());
}

bool Contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST(FlagsTest, DefaultsNeedOnlyAnApplication) {
  const WorkerOptions options = Parse({"--app=shop:app"})->options;
  EXPECT_EQ(options.application, "shop:app");
  EXPECT_EQ(options.http_addresses, std::vector<std::string>{"127.0.0.1:8080"});
  EXPECT_EQ(options.cores.engine, green::Engine::kUcontext);
  EXPECT_EQ(options.cores.cores_max, 256u);
  EXPECT_EQ(options.cores.stack_size_bytes, 256u * 1024);
}

TEST(FlagsTest, RepeatedAndListedAddressesAddUp) {
  const WorkerOptions options = Parse({"--app=a", "--http=:1,unix:/x", "--http", "[::1]:2"})->options;
  EXPECT_EQ(options.http_addresses, (std::vector<std::string>{":1", "unix:/x", "[::1]:2"}));
}

TEST(FlagsTest, DashesAndUnderscoresAreTheSameInNamesOnly) {
  const WorkerOptions options = Parse({"--app=my-app:my_app", "--async-cores=7"})->options;
  EXPECT_EQ(options.application, "my-app:my_app");
  EXPECT_EQ(options.cores.cores_max, 7u);
}

TEST(FlagsTest, StackSizeIsTakenInBytesAndInPages) {
  EXPECT_EQ(Parse({"--app=a", "--stack_size=64KiB"})->options.cores.stack_size_bytes, 65536u);
  EXPECT_EQ(Parse({"--app=a", "--stack_size=1m"})->options.cores.stack_size_bytes, 1048576u);
  EXPECT_EQ(Parse({"--app=a", "--stack_size=65536"})->options.cores.stack_size_bytes, 65536u);
  EXPECT_EQ(Parse({"--app=a", "--stack_pages=16"})->options.cores.stack_size_bytes,
            16 * green::StackSlab::page_size_bytes());
}

TEST(FlagsTest, TimeoutsAreDurationsOrSeconds) {
  EXPECT_EQ(Parse({"--app=a", "--drain_timeout=1m30s"})->options.drain_timeout_ns, 90 * kNanosecondsPerSecond);
  EXPECT_EQ(Parse({"--app=a", "--drain_timeout=0.5"})->options.drain_timeout_ns, kNanosecondsPerSecond / 2);
  EXPECT_EQ(Parse({"--app=a", "--drain_timeout=0"})->options.drain_timeout_ns, 0);
}

TEST(FlagsTest, ATimeSliceIsZeroOrFromAMillisecondToTenSeconds) {
  EXPECT_EQ(Parse({"--app=a"})->options.time_slice_ns, 10 * kNanosecondsPerMillisecond);
  EXPECT_EQ(Parse({"--app=a", "--time_slice=0"})->options.time_slice_ns, 0);
  EXPECT_EQ(Parse({"--app=a", "--time_slice=1ms"})->options.time_slice_ns, kNanosecondsPerMillisecond);
  EXPECT_EQ(Parse({"--app=a", "--time_slice=10"})->options.time_slice_ns, 10 * kNanosecondsPerSecond);
  for (const char* wrong : {"0.9ms", "11s", "-1ms", "fast"}) {
    EXPECT_EQ(ErrorOf({"--app=a", std::string("--time_slice=") + wrong}),
              std::string("--time_slice=") + wrong + ": must be 0, or a duration from 1ms to 10s");
  }
}

TEST(FlagsTest, TheAuditIsOffUnlessItIsAskedFor) {
  EXPECT_FALSE(Parse({"--app=a"})->options.audit);
  const WorkerOptions options = Parse({"--audit", "--audit-threshold=50ms", "--app=a"})->options;
  EXPECT_TRUE(options.audit);
  EXPECT_EQ(options.audit_threshold_ns, 50 * kNanosecondsPerMillisecond);
  EXPECT_EQ(ErrorOf({"--app=a", "--audit=yes"}), "--audit takes no value");
  EXPECT_EQ(ErrorOf({"--app=a", "--audit_threshold=0"}), "--audit_threshold=0: must be a duration from 1ms to 10s");
}

TEST(FlagsTest, BodyLimitOfZeroMeansNone) {
  EXPECT_EQ(Parse({"--app=a", "--limit_request_body=0"})->options.http.limits.body_bytes_max, -1);
  EXPECT_EQ(Parse({"--app=a", "--limit_request_body=1k"})->options.http.limits.body_bytes_max, 1024);
}

TEST(FlagsTest, LongLinesStillFitTheHead) {
  const protocol::Limits limits =
      Parse({"--app=a", "--limit_request_line=32768", "--limit_request_field_size=32768"})->options.http.limits;
  EXPECT_GE(limits.head_bytes_max, limits.request_line_bytes_max + limits.header_field_bytes_max);
}

TEST(FlagsTest, RequestTimeoutsAreForAllOrForAPath) {
  const HttpServiceOptions options =
      Parse({"--app=a", "--request_timeout=30s", "--request_timeout=/export=5m", "--request_timeout=/a=b=0"})
          ->options.http;
  EXPECT_EQ(options.request_timeouts.For("/"), 30 * kNanosecondsPerSecond);
  EXPECT_EQ(options.request_timeouts.For("/export/1"), 300 * kNanosecondsPerSecond);
  EXPECT_EQ(options.request_timeouts.For("/a=b"), kNeverNs);
  EXPECT_EQ(Parse({"--app=a"})->options.http.request_timeouts.For("/"), kNeverNs);
  for (const char* text : {"/export", "shop=3s", "=3s", "/export=", "/export=soon", ""}) {
    EXPECT_FALSE(Parse({"--app=a", std::string("--request_timeout=") + text}).ok()) << text;
  }
}

TEST(FlagsTest, CancelOnDisconnectIsOffUntilItIsOn) {
  EXPECT_FALSE(Parse({"--app=a"})->options.http.cancel_on_disconnect);
  EXPECT_TRUE(Parse({"--app=a", "--cancel_on_disconnect=on"})->options.http.cancel_on_disconnect);
  EXPECT_EQ(ErrorOf({"--app=a", "--cancel_on_disconnect=1"}), "--cancel_on_disconnect=1: must be on or off");
}

TEST(FlagsTest, BadValuesNameTheFlagTheValueAndWhatIsPossible) {
  EXPECT_EQ(ErrorOf({"--app=a", "--async_cores=0"}), "--async_cores=0: must be a number from 1 to 100000");
  EXPECT_EQ(ErrorOf({"--app=a", "--async_cores=many"}), "--async_cores=many: must be a number from 1 to 100000");
  EXPECT_EQ(ErrorOf({"--app=a", "--engine=gevent"}), "--engine=gevent: must be ucontext, fcontext or thread");
  EXPECT_TRUE(Contains(ErrorOf({"--app=a", "--stack_size=1KiB"}), "--stack_size=1KiB: must be a size from 16384"));
  EXPECT_TRUE(Contains(ErrorOf({"--app=a", "--stack_size=99999999999999999999g"}), "must be a size"));
  EXPECT_TRUE(Contains(ErrorOf({"--app=a", "--stack_size=9999999999g"}), "must be a size"));
  EXPECT_TRUE(Contains(ErrorOf({"--app=a", "--drain_timeout=-1"}), "must be a duration"));
  EXPECT_TRUE(Contains(ErrorOf({"--app=a", "--drain_timeout=nan"}), "must be a duration"));
  EXPECT_TRUE(Contains(ErrorOf({"--app=a", "--drain_timeout=soon"}), "must be a duration"));
}

TEST(FlagsTest, UnknownIncompleteAndMisplacedArgumentsAreRefused) {
  EXPECT_EQ(ErrorOf({"--app=a", "--workers=4"}), "unknown flag --workers=4; --help lists them");
  EXPECT_EQ(ErrorOf({"--app"}), "--app needs a value");
  EXPECT_TRUE(Contains(ErrorOf({"shop:app"}), "unexpected argument shop:app"));
  EXPECT_TRUE(Contains(ErrorOf({}), "no application"));
}

TEST(FlagsTest, HelpWinsAndNamesEveryFlag) {
  EXPECT_TRUE(Parse({"--help"})->help);
  EXPECT_TRUE(Parse({"--app=a", "-h"})->help);
  for (const char* name : {"--app", "--http", "--engine", "--async_cores", "--stack_pages", "--drain_timeout"}) {
    EXPECT_TRUE(Contains(FlagsHelp(), name)) << name;
  }
}

}  // namespace
}  // namespace greenring::worker
