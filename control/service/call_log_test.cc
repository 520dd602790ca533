#include "control/service/call_log.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

using testing::HasSubstr;

const CallLog::Change kReload = {"ReloadPool", "pools/web", "uid 0 (root), pid 7", "operations/5", absl::OkStatus()};

std::string LineOf(const CallLog::Change& change, ServerLog::Format format) {
  std::vector<std::string> lines;
  const ServerLog server_log([&lines](const std::string& line) { lines.push_back(line); }, format);
  LineCallLog log(&server_log);
  log.OnChange(change);
  EXPECT_EQ(lines.size(), 1u);
  return lines.at(0);
}

TEST(CallLogTest, TextHasWhoWhatAndTheOutcome) {
  EXPECT_EQ(LineOf(kReload, ServerLog::Format::kText),
            "greenring: api: uid 0 (root), pid 7: ReloadPool pools/web: OK, operations/5");
}

TEST(CallLogTest, JsonHasEachOfTheFields) {
  const std::string line = LineOf(kReload, ServerLog::Format::kJson);
  for (const char* field : {R"("event":"api_call")", R"("method":"ReloadPool")", R"("target":"pools/web")",
                            R"("caller":"uid 0 (root), pid 7")", R"("code":"OK")", R"("operation":"operations/5")"}) {
    EXPECT_THAT(line, HasSubstr(field));
  }
}

TEST(CallLogTest, WhatACallerSendsCannotMakeALineOfItsOwn) {
  CallLog::Change change = kReload;
  change.target = "pools/web\ngreenring: api: uid 0 (root), pid 1: DeletePool pools/web: OK";
  change.outcome = absl::InvalidArgumentError("no\r\nsuch");
  const std::string text = LineOf(change, ServerLog::Format::kText);
  EXPECT_EQ(text.find("\ngreenring"), std::string::npos);
  EXPECT_EQ(text.find('\r'), std::string::npos);
  EXPECT_EQ(LineOf(change, ServerLog::Format::kJson).find('\n'), std::string::npos);
}

}  // namespace
}  // namespace greenring::control
