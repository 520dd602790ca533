#include "control/config/config_file.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "control/config/pool_config.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

class ConfigFileTest : public testing::Test {
 protected:
  // Not in TEST_TMPDIR, whose name is too long for a socket's.
  ConfigFileTest() {
    char name[] = "/tmp/greenring_config_XXXXXX";
    directory_ = mkdtemp(name);
  }
  ~ConfigFileTest() override { std::filesystem::remove_all(directory_); }

  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = directory_ + "/" + name;
    std::ofstream(path) << text;
    return path;
  }

  // The error, without the directory.
  std::string ErrorOf(const std::string& name, const std::string& text) {
    std::string error(LoadConfiguration(Write(name, text)).status().message());
    for (size_t at; (at = error.find(directory_ + "/")) != std::string::npos;) error.erase(at, directory_.size() + 1);
    return error;
  }

  std::string directory_;
};

constexpr char kYaml[] =
    "pools:\n"
    "  - name: web\n"
    "    application: {target: 'shop:app'}\n"
    "    workers: 2\n";
constexpr char kTextproto[] =
    "pools {\n"
    "  name: 'web'\n"
    "  application { target: 'shop:app' }\n"
    "  workers: 2\n"
    "}\n";

TEST_F(ConfigFileTest, BothFormatsMeanTheSameAndHaveTheirDefaultsFilledIn) {
  const absl::StatusOr<v1::Configuration> yaml = LoadConfiguration(Write("a.yaml", kYaml));
  ASSERT_TRUE(yaml.ok()) << std::string(yaml.status().message());
  for (const char* name : {"a.textproto", "a.pbtxt"}) {
    const absl::StatusOr<v1::Configuration> text = LoadConfiguration(Write(name, kTextproto));
    ASSERT_TRUE(text.ok()) << std::string(text.status().message());
    EXPECT_EQ(text->DebugString(), yaml->DebugString());
  }
  EXPECT_EQ(yaml->pools(0).name(), "pools/web");
  EXPECT_EQ(yaml->pools(0).workers(), 2);
  EXPECT_EQ(yaml->pools(0).async_cores(), 256);
  EXPECT_EQ(yaml->control().addresses(0), DefaultControlAddress());
}

TEST_F(ConfigFileTest, WhatAFieldMayNotHoldIsSaidWithItsLine) {
  EXPECT_EQ(
      ErrorOf("a.yaml",
              "pools:\n"
              "- name: web\n"
              "  workers: 5000\n"
              "  timeouts:\n"
              "    start: 1ms\n"
              "  listeners:\n"
              "  - address: ':80'\n"
              "  - {address: '80'}\n"
              "- name: web\n"
              "  application: {target: 'a', environment: {A: 1, 'B=C': 2}}\n"
              "  listeners: [{address: '*:80'}]\n"),
      "a.yaml:2:3: pools[0].application.target: must name the application: module:callable, module, "
      "path/to/file.py or module:create_app()\n"
      "a.yaml:3:3: pools[0].workers: must be from 1 to 1024, not 5000\n"
      "a.yaml:5:5: pools[0].timeouts.start: must be from 100ms to 31536000s, not 1ms\n"
      "a.yaml:8:6: pools[0].listeners[1].address: must be host:port, [IPv6]:port or unix:/path, not \"80\": it has "
      "no port\n"
      "a.yaml:9:3: pools[1].name: pools[0] is named \"web\" too\n"
      "a.yaml:9:3: pools[1].routes: pools[0], \"web\", listens on *:80 too, and neither has routes: give one of them "
      "some\n"
      "a.yaml:10:50: pools[1].application.environment[\"B=C\"]: the name of a variable must not be empty or contain "
      "=");
}

TEST_F(ConfigFileTest, ErrorsInTextprotoHaveTheirPositionsToo) {
  EXPECT_EQ(
      ErrorOf("a.textproto",
              "pools {\n"
              "  name: 'web'\n"
              "  application { target: 'a' }\n"
              "  timeouts {\n"
              "    start { nanos: 1 }\n"
              "  }\n"
              "}\n"
              "pools { name: 'b' workers: -1 application { target: 'a' } listeners { address: 'x' } }\n"),
      "a.textproto:5:5: pools[0].timeouts.start: must be from 100ms to 31536000s, not 1ns\n"
      "a.textproto:8:19: pools[1].workers: must be from 1 to 1024, not -1\n"
      "a.textproto:8:71: pools[1].listeners[0].address: must be host:port, [IPv6]:port or unix:/path, not \"x\": it "
      "has no port");
  EXPECT_EQ(ErrorOf("a.textproto", "pools {\n  wrokers: 1\n}\n"),
            "a.textproto:2:10: Message type \"greenring.control.v1.Pool\" has no field named \"wrokers\".");
  EXPECT_EQ(ErrorOf("a.pbtxt", "pools: [\n").substr(0, 8), "a.pbtxt:");
}

TEST_F(ConfigFileTest, RelativePathsBeginWhereTheFileIs) {
  const absl::StatusOr<v1::Configuration> read =
      LoadConfiguration(Write("a.yaml",
                              "state_directory: state/\n"
                              "pid_file: ../pid\n"
                              "control: {addresses: [unix:run/api.sock]}\n"
                              "pools:\n"
                              "- name: web\n"
                              "  application:\n"
                              "    target: app.py\n"
                              "    working_directory: .\n"
                              "    python_path: [lib, /usr/lib/x]\n"
                              "    virtualenv: venv\n"
                              "  listeners: [{address: 'unix:web.sock'}, {address: 'localhost:80'}]\n"
                              "  logging: {access_log: '-', error_log: log/error}\n"));
  ASSERT_TRUE(read.ok()) << std::string(read.status().message());
  EXPECT_EQ(read->state_directory(), directory_ + "/state");
  EXPECT_EQ(read->pid_file(), directory_.substr(0, directory_.rfind('/')) + "/pid");
  EXPECT_EQ(read->control().addresses(0), "unix:" + directory_ + "/run/api.sock");
  const v1::Pool& pool = read->pools(0);
  EXPECT_EQ(pool.application().target(), "app.py");
  EXPECT_EQ(pool.application().working_directory(), directory_);
  EXPECT_EQ(pool.application().python_path(0), directory_ + "/lib");
  EXPECT_EQ(pool.application().python_path(1), "/usr/lib/x");
  EXPECT_EQ(pool.application().virtualenv(), directory_ + "/venv");
  EXPECT_EQ(pool.listeners(0).address(), "unix:" + directory_ + "/web.sock");
  EXPECT_EQ(pool.listeners(1).address(), "localhost:80");
  EXPECT_EQ(pool.logging().access_log(), "-");
  EXPECT_EQ(pool.logging().error_log(), directory_ + "/log/error");
}

TEST_F(ConfigFileTest, WhatIsNotSetStaysTheDefault) {
  const absl::StatusOr<v1::Configuration> read = LoadConfiguration(Write("a.yaml", kYaml));
  EXPECT_EQ(read->pools(0).application().working_directory(), "");
  EXPECT_EQ(read->state_directory(), "");
}

TEST_F(ConfigFileTest, FilesThatCannotBeReadAreNamed) {
  EXPECT_EQ(std::string(LoadConfiguration("/no/such.yaml").status().message()),
            "/no/such.yaml: cannot be read: No such file or directory");
  EXPECT_EQ(std::string(LoadConfiguration(directory_).status().message()),
            directory_ + ": cannot be read: it is a directory");
  EXPECT_EQ(std::string(LoadConfiguration("/dev/zero").status().message()), "/dev/zero: is larger than 4 MiB");
}

}  // namespace
}  // namespace greenring::control
