#include "control/server_log.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

using testing::MatchesRegex;

std::string Written(ServerLog::Format format, const std::string& text, const ServerLog::Fields& fields) {
  std::vector<std::string> lines;
  const ServerLog log([&lines](const std::string& line) { lines.push_back(line); }, format);
  log.Write(ServerLog::Severity::kError, text, fields);
  EXPECT_EQ(lines.size(), 1u);
  return lines.at(0);
}

TEST(ServerLogTest, TextIsWhatPeopleRead) {
  EXPECT_EQ(Written(ServerLog::Format::kText, "web: died", {{"event", "worker_died"}}), "greenring: web: died");
}

TEST(ServerLogTest, JsonHasTimeSeverityAndTheFieldsThatAreNotEmpty) {
  EXPECT_THAT(
      Written(ServerLog::Format::kJson, "web: died", {{"event", "worker_died"}, {"caller", ""}, {"message", "x"}}),
      MatchesRegex(
          R"(\{"time":"[-0-9]+T[0-9:]+\.[0-9]{3}Z","severity":"error","event":"worker_died","message":"x"\})"));
}

TEST(ServerLogTest, NothingInALineMakesAnotherOne) {
  const std::string evil = "a\ngreenring: ready\r\x1b[2J\xff\"";
  EXPECT_EQ(Written(ServerLog::Format::kText, evil, {}), "greenring: a\n    greenring: ready  [2J\xff\"");
  const std::string json = Written(ServerLog::Format::kJson, evil, {{"message", evil}});
  EXPECT_NE(json.find(R"("message":"a\ngreenring: ready\r\u001b[2J\ufffd\""})"), std::string::npos) << json;
}

TEST(ServerLogTest, WhatIsSaidIsTheMessage) {
  std::string line;
  const ServerLog log([&line](const std::string& text) { line = text; }, ServerLog::Format::kJson);
  log.Say("ready");
  EXPECT_NE(line.find(R"("severity":"info","message":"ready"})"), std::string::npos) << line;
}

}  // namespace
}  // namespace greenring::control
