// Commands against the API in front of a control plane in memory: what they print, what they ask for, how they end.
#include "tools/greenctl/run_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "control/service/fake_api.h"
#include "control/service/fake_control_plane.h"
#include "google/protobuf/util/json_util.h"
#include "greenring/control/v1/pool_service.pb.h"
#include "greenring/control/v1/request_service.pb.h"
#include "tools/greenctl/environment.h"
#include "tools/greenctl/exit_code.h"

namespace greenring::greenctl {
namespace {

namespace v1 = ::greenring::control::v1;
using ::testing::ContainsRegex;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

class RunCommandTest : public ::testing::Test {
 protected:
  // The exit code; out_ and err_ are what it printed.
  int Run(const std::vector<std::string>& arguments, const std::string& input = "") {
    std::istringstream in(input);
    std::ostringstream out, err;
    environment_.in = &in;
    environment_.out = &out;
    environment_.err = &err;
    environment_.variable = [this](const std::string& name) {
      return name == "GREENRING_CONTROL" ? address_ : std::string();
    };
    environment_.interrupt = &interrupt_;
    const int code = RunCommand(arguments, &environment_);
    out_ = out.str();
    err_ = err.str();
    return code;
  }

  v1::Pool Web() {
    v1::Pool pool;
    server_.Do([&pool](control::FakeControlPlane& plane) { pool = *plane.pool("pools/web"); });
    return pool;
  }

  std::vector<std::string> Changes() {
    std::vector<std::string> changes;
    server_.Do([&changes](control::FakeControlPlane& plane) {
      for (const std::string& change : plane.changes()) changes.push_back(change.substr(0, change.find(": ")));
    });
    return changes;
  }

  control::FakeApi server_;
  std::string address_ = server_.address();
  Interrupt interrupt_;
  Environment environment_;
  std::string out_, err_;
};

// ---- looking ----

TEST_F(RunCommandTest, GetPoolsIsATable) {
  EXPECT_EQ(Run({"get", "pools"}), kExitOk);
  EXPECT_THAT(out_,
              ContainsRegex("^NAME  STATE  WORKERS  CORES  ENGINE    STACK   GENERATION  RESTARTS  AGE\n"
                            "api   READY      2/2    256  UCONTEXT  256KiB           1         0  [0-9.a-z]+\n"
                            "web   READY      2/2    256  UCONTEXT  256KiB           1         0  [0-9.a-z]+\n$"));
  EXPECT_EQ(err_, "");
}

TEST_F(RunCommandTest, WordsMayBeInTheSingularAndNamesInEitherForm) {
  EXPECT_EQ(Run({"list", "pool", "pools/web", "-o", "name"}), kExitOk);
  EXPECT_EQ(out_, "pools/web\n");
  EXPECT_EQ(Run({"get", "workers", "web/2", "-o", "name"}), kExitOk);
  EXPECT_EQ(out_, "pools/web/workers/2\n");
}

TEST_F(RunCommandTest, JsonIsOneDocumentWithTheNamesOfTheProtoFiles) {
  EXPECT_EQ(Run({"get", "pools", "-o", "json"}), kExitOk);
  v1::ListPoolsResponse response;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(out_, &response).ok());
  EXPECT_EQ(response.pools_size(), 2);
  EXPECT_THAT(out_, HasSubstr("\"workers_starting\": 0"));  // zeros are there
}

TEST_F(RunCommandTest, TheYamlOfPoolsCanBeApplied) {
  server_.KeepStepping();
  ASSERT_EQ(Run({"get", "pools", "web", "-o", "yaml"}), kExitOk);
  const std::string yaml = out_;
  EXPECT_THAT(yaml, StartsWith("pools:\n"));
  EXPECT_EQ(Run({"apply", "-f", "-"}, yaml), kExitOk) << err_;
}

TEST_F(RunCommandTest, PsShowsWhereRequestsWaitTheOldestFirst) {
  EXPECT_EQ(Run({"ps"}), kExitOk);
  EXPECT_THAT(out_, ContainsRegex("^NAME  .*\nweb/1/12 .* PARKED .*recv +17 10.0.0.5:5432 .*20KiB/256KiB  GET .*"
                                  "/orders.page=3\napi/1/3 .*PARKED .*nanosleep.*\nweb/1/19 .*\nweb/2/7"));
  EXPECT_EQ(Run({"ps", "web/1", "-o", "name"}), kExitOk);
  EXPECT_EQ(out_, "pools/web/workers/1/requests/12\npools/web/workers/1/requests/19\n");
  EXPECT_EQ(Run({"ps", "--age-min", "20s", "-o", "name"}), kExitOk);
  EXPECT_EQ(out_, "pools/web/workers/1/requests/12\n");
}

TEST_F(RunCommandTest, NoRequestsIsNoError) {
  EXPECT_EQ(Run({"ps", "--age-min", "1h"}), kExitOk);
  EXPECT_EQ(out_, "");
  EXPECT_EQ(err_, "no requests in flight\n");
}

TEST_F(RunCommandTest, WhatAClientSentCannotWriteToTheTerminal) {
  server_.Do([](control::FakeControlPlane& plane) {
    v1::Request request;
    request.set_name("pools/web/workers/1/requests/99");
    request.set_target("/\x1b]0;owned\x07");
    plane.AddRequest(request);
  });
  EXPECT_EQ(Run({"ps", "-o", "wide"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("/\\x1b]0;owned\\x07"));
}

TEST_F(RunCommandTest, StackIsTheRequestAndWhereItIs) {
  EXPECT_EQ(Run({"stack", "web/1/12"}), kExitOk);
  EXPECT_THAT(out_, StartsWith("web/1/12 PARKED in recv 10.0.0.5:5432"));
  EXPECT_THAT(out_, HasSubstr("File \"shop/wsgi.py\", line 12, in app"));
}

TEST_F(RunCommandTest, DescribeTellsTheKindByTheName) {
  EXPECT_EQ(Run({"describe", "web"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("Configuration:\n  application:\n    target: shop.wsgi:app\n"));
  EXPECT_THAT(out_, HasSubstr("Generation:        1 desired, 1 observed"));
  EXPECT_EQ(Run({"describe", "web/1"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("Slot:              1\n"));
  EXPECT_EQ(Run({"describe", "request", "web/1/12"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("Request:           GET /orders?page=3\n"));
}

TEST_F(RunCommandTest, EventsAreThoseThatAreKnown) {
  server_.Do([](control::FakeControlPlane& plane) { plane.EmitEvents(2); });
  EXPECT_EQ(Run({"events"}), kExitOk);
  EXPECT_THAT(out_, ContainsRegex("^TIME +SEVERITY +RESOURCE +KIND +MESSAGE\n.*INFO +web/1 +WORKER_READY +one more\n.*"
                                  "INFO +web/1 +WORKER_READY +one more\n$"));
}

TEST_F(RunCommandTest, WatchPrintsALineAnInterval) {
  EXPECT_EQ(Run({"watch", "web", "--interval", "100ms", "--count", "2"}), kExitOk);
  EXPECT_THAT(out_, ContainsRegex("^TIME .*P99.*\n[0-9:]+  web .*\n[0-9:]+  web .*\n$"));
}

// ---- changing ----

TEST_F(RunCommandTest, SetChangesWhatItNamesAndWaitsWithProgress) {
  server_.KeepStepping();
  EXPECT_EQ(Run({"set", "web", "workers=3", "timeouts.drain=10s", "stack_size_bytes=512KiB"}), kExitOk) << err_;
  EXPECT_EQ(Web().workers(), 3);
  EXPECT_EQ(Web().timeouts().drain().seconds(), 10);
  EXPECT_EQ(Web().stack_size_bytes(), 512 << 10);
  EXPECT_EQ(Web().application().target(), "shop.wsgi:app");
  EXPECT_THAT(out_, StartsWith("web changed, generation 2"));
  EXPECT_THAT(err_, HasSubstr("update web: worker 2 of 3 (workers 2/3)\n"));
}

TEST_F(RunCommandTest, SetOfOneVariableLeavesTheOthers) {
  server_.KeepStepping();
  ASSERT_EQ(Run({"set", "web", "application.environment={A: '1', B: '2'}"}), kExitOk) << err_;
  ASSERT_EQ(Run({"set", "web", "application.environment.A=", "application.environment.C=x=y"}), kExitOk) << err_;
  const v1::Pool web = Web();
  const auto& variables = web.application().environment();
  EXPECT_EQ(variables.size(), 2);
  EXPECT_EQ(variables.at("B"), "2");
  EXPECT_EQ(variables.at("C"), "x=y");
}

TEST_F(RunCommandTest, AnEmptyValueIsTheDefault) {
  server_.KeepStepping();
  ASSERT_EQ(Run({"set", "web", "async_cores=9"}), kExitOk) << err_;
  ASSERT_EQ(Run({"set", "web", "async_cores="}), kExitOk) << err_;
  EXPECT_EQ(Web().async_cores(), 256);
}

TEST_F(RunCommandTest, ScaleAndEngineAreSetInOtherWords) {
  server_.KeepStepping();
  EXPECT_EQ(Run({"scale", "web", "4"}), kExitOk) << err_;
  EXPECT_EQ(Web().workers(), 4);
  EXPECT_EQ(Run({"engine", "web", "FContext", "--canary", "10%", "--canary-duration", "5s"}), kExitOk) << err_;
  EXPECT_EQ(Web().engine(), v1::FCONTEXT);
}

TEST_F(RunCommandTest, DryRunChangesNothing) {
  EXPECT_EQ(Run({"scale", "web", "4", "--dry-run"}), kExitOk);
  EXPECT_EQ(out_, "web would be changed (dry run)\n");
  EXPECT_EQ(Web().workers(), 2);
}

TEST_F(RunCommandTest, ApplyCreatesWhatIsMissing) {
  server_.KeepStepping();
  const std::string yaml = "pools:\n- name: new\n  application: {target: a:b}\n  listeners: [{address: ':9000'}]\n";
  EXPECT_EQ(Run({"apply", "-f", "-", "--dry-run"}, yaml), kExitOk) << err_;
  EXPECT_EQ(out_, "new would be created (dry run)\n");
  EXPECT_EQ(Run({"apply", "-f", "-"}, yaml), kExitOk) << err_;
  EXPECT_THAT(out_, StartsWith("new created"));
  EXPECT_EQ(Run({"get", "pools", "new", "-o", "name"}), kExitOk);
}

TEST_F(RunCommandTest, ApplySaysWhatOfAFileItDoesNotApply) {
  server_.KeepStepping();
  const std::string yaml =
      "pools:\n- name: new\n  application: {target: a:b}\n  listeners: [{address: ':9000'}]\n"
      "metrics: {address: ':9101'}\nstate_directory: /s\n";
  EXPECT_EQ(Run({"apply", "-f", "-"}, yaml), kExitOk) << err_;
  EXPECT_THAT(err_, HasSubstr("warning: -: not applied, as only pools can be: metrics, state_directory;"));
  EXPECT_EQ(Run({"apply", "-f", "-", "--quiet"}, yaml), kExitOk) << err_;
  EXPECT_EQ(err_, "");
}

TEST_F(RunCommandTest, EventsAfterOneLeaveItOut) {
  server_.Do([](control::FakeControlPlane& plane) { plane.EmitEvents(3); });
  EXPECT_EQ(Run({"events", "--after", "2", "-o", "json"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("\"id\":\"3\""));
  EXPECT_THAT(out_, Not(HasSubstr("\"id\":\"2\"")));
  EXPECT_EQ(Run({"events", "--after", "4"}), kExitInvalid) << "it has not happened";
}

TEST_F(RunCommandTest, ReloadDrainResumeRestartAndDeleteAreOperations) {
  server_.KeepStepping();
  EXPECT_EQ(Run({"reload", "web", "api"}), kExitOk) << err_;
  EXPECT_THAT(out_, ContainsRegex("^web reloaded.*\napi reloaded.*\n$"));
  EXPECT_EQ(Run({"drain", "web"}), kExitOk);
  EXPECT_EQ(Run({"resume", "web"}), kExitOk);
  EXPECT_EQ(Run({"restart", "web/1"}), kExitOk) << err_;
  EXPECT_EQ(Run({"delete", "api"}), kExitOk) << err_;
  EXPECT_EQ(Run({"get", "pools", "api"}), kExitNotFound);
}

TEST_F(RunCommandTest, NoWaitTellsHowToFollow) {
  EXPECT_EQ(Run({"reload", "web", "--no-wait"}), kExitOk);
  EXPECT_THAT(out_, StartsWith("operations/1: reload web"));
  EXPECT_THAT(out_, HasSubstr("greenctl watch operations/1 follows it"));
  server_.KeepStepping();
  EXPECT_EQ(Run({"watch", "operations/1"}), kExitOk);
  EXPECT_THAT(out_, StartsWith("reload web done"));
}

TEST_F(RunCommandTest, ProgressIsOneLineOfATerminal) {
  environment_.err_is_terminal = true;
  environment_.columns = 20;
  server_.KeepStepping();
  EXPECT_EQ(Run({"reload", "web"}), kExitOk);
  EXPECT_THAT(err_, StartsWith("\r\x1b[Kreload web: begins…\r\x1b[K"));
  EXPECT_THAT(err_, Not(HasSubstr("\n")));
}

TEST_F(RunCommandTest, QuietSaysNothing) {
  server_.KeepStepping();
  EXPECT_EQ(Run({"reload", "web", "-q"}), kExitOk);
  EXPECT_EQ(out_ + err_, "");
}

TEST_F(RunCommandTest, AFailedOperationIsExitCode1WithItsReason) {
  std::thread fail([this] {
    for (bool failed = false; !failed; absl::SleepFor(absl::Milliseconds(5))) {
      server_.Do([&failed](control::FakeControlPlane& plane) {
        if (plane.ListOperations().empty()) return;
        plane.FailOperation("operations/1", absl::AbortedError("no module named shop"));
        failed = true;
      });
    }
  });
  EXPECT_EQ(Run({"reload", "web"}), kExitFailed);
  fail.join();
  EXPECT_THAT(err_, HasSubstr("greenctl: reload web failed: no module named shop\n  greenctl events web"));
}

TEST_F(RunCommandTest, CtrlCLeavesTheOperationAndSaysSo) {
  std::thread interrupt([this] {
    while (!interrupt_.Trigger()) absl::SleepFor(absl::Milliseconds(5));
  });
  EXPECT_EQ(Run({"reload", "web"}), kExitInterrupted);
  interrupt.join();
  EXPECT_THAT(err_, HasSubstr("reload web goes on\n  greenctl watch operations/1   follows it\n  greenctl cancel"));
  server_.Do([](control::FakeControlPlane& plane) { EXPECT_FALSE(plane.GetOperation("operations/1")->done()); });
}

TEST_F(RunCommandTest, TimeoutIsExitCode7) {
  EXPECT_EQ(Run({"reload", "web", "--timeout", "200ms"}), kExitTimedOut);
  EXPECT_THAT(err_, HasSubstr("greenctl get operations"));
}

TEST_F(RunCommandTest, CancelTakesRequestsAndOperations) {
  EXPECT_EQ(Run({"cancel", "web/1/12", "--reason", "runs away"}), kExitOk);
  EXPECT_EQ(out_, "web/1/12 cancelled\n");
  EXPECT_THAT(Changes(), ElementsAre("cancel pools/web/workers/1/requests/12 (runs away)"));
  EXPECT_EQ(Run({"cancel", "web/1/12"}), kExitNotFound);
  ASSERT_EQ(Run({"reload", "web", "--no-wait"}), kExitOk);
  EXPECT_EQ(Run({"cancel", "operations/1"}), kExitOk) << err_;
}

// ---- errors ----

TEST_F(RunCommandTest, WhatIsNotThereIsExitCode3) {
  EXPECT_EQ(Run({"get", "pools", "nope"}), kExitNotFound);
  EXPECT_THAT(err_, HasSubstr("nope"));
  EXPECT_EQ(Run({"scale", "nope", "2"}), kExitNotFound);
}

TEST_F(RunCommandTest, ViolationsAreOneALine) {
  EXPECT_EQ(Run({"set", "web", "workers=5000", "async_cores=-1"}), kExitInvalid);
  EXPECT_THAT(err_, ContainsRegex("^greenctl: this is not possible:\n  .*workers: .*\n  .*async_cores: .*\n$"));
  EXPECT_THAT(Changes(), IsEmpty());
}

TEST_F(RunCommandTest, AValueThatIsNoneNamesTheField) {
  EXPECT_EQ(Run({"set", "web", "timeouts.drain=soon"}), kExitInvalid);
  EXPECT_THAT(err_, StartsWith("greenctl: timeouts.drain: "));
}

TEST_F(RunCommandTest, UsageErrorsSayWhatWasMeant) {
  EXPECT_EQ(Run({"relod", "web"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("did you mean reload?"));
  EXPECT_EQ(Run({"set", "web", "timeots.drain=1s"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("did you mean timeouts.drain?"));
  EXPECT_EQ(Run({"set", "web", "generation=4"}), kExitUsage);
  EXPECT_EQ(Run({"get", "pools", "--ouput", "json"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("did you mean --output?"));
  EXPECT_EQ(Run({"scale", "web"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("usage: greenctl scale POOL WORKERS"));
  EXPECT_EQ(Run({"reload", "web", "--timeout", "soon"}), kExitUsage);
  EXPECT_EQ(Run({"set", "web", "workers=2", "--canary-duration", "5s"}), kExitUsage);
  EXPECT_EQ(Run({}), kExitUsage);
}

TEST_F(RunCommandTest, FlagsMayBeWrittenWithUnderscores) {
  EXPECT_EQ(Run({"reload", "web", "--no_wait"}), kExitOk) << err_;
}

TEST_F(RunCommandTest, NoServerIsExitCode4AndSaysHowToStartOne) {
  address_ = "unix:/nonexistent/socket";
  EXPECT_EQ(Run({"get", "pools"}), kExitUnreachable);
  EXPECT_THAT(err_, HasSubstr("No such file or directory\n  is the server running?"));
}

TEST_F(RunCommandTest, ATcpServerNeedsCertificates) {
  address_ = "127.0.0.1:1";
  EXPECT_EQ(Run({"get", "pools"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("--tls-certificate is missing"));
}

TEST_F(RunCommandTest, ValidateNeedsNoServer) {
  address_ = "unix:/nonexistent/socket";
  const std::string path = absl::StrCat(::testing::TempDir(), "/validate.yaml");
  std::ofstream(path) << "pools:\n- name: web\n  application: {target: a:b}\n";
  EXPECT_EQ(Run({"validate", path}), kExitOk) << err_;
  EXPECT_EQ(out_, path + ": valid, 1 pool\n");
  std::ofstream(path) << "pools:\n- name: web\n  worker: 4\n  application: {target: a:b}\n";
  EXPECT_EQ(Run({"validate", path}), kExitInvalid);
  EXPECT_THAT(err_, HasSubstr("validate.yaml:3"));
}

TEST_F(RunCommandTest, TopWithoutATerminalSaysWhatElseThereIs) {
  if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)) GTEST_SKIP() << "this is a terminal";
  EXPECT_EQ(Run({"top"}), kExitFailed);
  EXPECT_THAT(err_, HasSubstr("greenctl watch"));
}

// ---- completion and help ----

TEST_F(RunCommandTest, CompletionKnowsCommandsFlagsAndWhatIsThere) {
  EXPECT_EQ(Run({"__complete", "--", "re"}), kExitOk);
  EXPECT_EQ(out_, "reload\nrestart\nresume\n");
  EXPECT_EQ(Run({"__complete", "--", "reload", ""}), kExitOk);
  EXPECT_EQ(out_, "api\nweb\n");
  EXPECT_EQ(Run({"__complete", "--", "set", "web", "timeouts.d"}), kExitOk);
  EXPECT_EQ(out_, "timeouts.drain=\n");
  EXPECT_EQ(Run({"__complete", "--", "engine", "web", "f"}), kExitOk);
  EXPECT_EQ(out_, "fcontext\n");
  EXPECT_EQ(Run({"__complete", "--", "get", "pools", "-o", "j"}), kExitOk);
  EXPECT_EQ(out_, "json\n");
  EXPECT_EQ(Run({"__complete", "--", "set", "web", "--canary-d"}), kExitOk);
  EXPECT_EQ(out_, "--canary-duration\n");
  EXPECT_EQ(Run({"__complete", "--", "stack", "web/2"}), kExitOk);
  EXPECT_EQ(out_, "web/2/7\n");
}

TEST_F(RunCommandTest, CompletionWithoutAServerIsSilent) {
  address_ = "unix:/nonexistent/socket";
  EXPECT_EQ(Run({"__complete", "--", "reload", ""}), kExitOk);
  EXPECT_EQ(out_ + err_, "");
}

TEST_F(RunCommandTest, HelpNamesEveryCommand) {
  EXPECT_EQ(Run({"help"}), kExitOk);
  for (const char* command : {"get", "describe", "apply", "set", "scale", "engine", "reload", "drain", "resume",
                              "restart", "ps", "stack", "cancel", "top", "watch", "events", "validate", "completion"}) {
    EXPECT_THAT(out_, HasSubstr(absl::StrCat("\n  ", command))) << command;
    const std::string all = out_;
    EXPECT_EQ(Run({command, "--help"}), kExitOk);
    EXPECT_THAT(out_, HasSubstr(absl::StrCat("usage: greenctl ", command)));
    out_ = all;
  }
  EXPECT_THAT(out_, Not(HasSubstr("__complete")));
}

TEST_F(RunCommandTest, VersionShowsBothAndNeedsNoServer) {
  EXPECT_EQ(Run({"version"}), kExitOk);
  EXPECT_THAT(out_, ContainsRegex("^greenctl [0-9.]+\nserver 1.0-fake, pid 4700, Python 3.11.2"));
  address_ = "unix:/nonexistent/socket";
  EXPECT_EQ(Run({"version"}), kExitOk);
}

}  // namespace
}  // namespace greenring::greenctl
