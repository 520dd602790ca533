#include "control/service/grpc_log.h"

#include <vector>

#include "gmock/gmock.h"
#include "grpc/support/log.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

using testing::ElementsAre;
using testing::MatchesRegex;

class GrpcLogTest : public testing::Test {
 protected:
  void SetUp() override { gpr_set_log_verbosity(GPR_LOG_SEVERITY_INFO); }
};

TEST_F(GrpcLogTest, WhatGrpcSaysIsALineOfTheServers) {
  std::vector<std::string> lines;
  const ServerLog log([&lines](const std::string& line) { lines.push_back(line); }, ServerLog::Format::kText);
  {
    const GrpcLog route(&log);
    gpr_log("src/core/tcp.cc", 12, GPR_LOG_SEVERITY_ERROR, "no more\n%s", "descriptors");
  }
  gpr_log("src/core/tcp.cc", 12, GPR_LOG_SEVERITY_ERROR, "to gRPC's own place again");
  EXPECT_THAT(lines, ElementsAre("greenring: grpc: no more\n    descriptors (tcp.cc:12)"));
}

TEST_F(GrpcLogTest, ItsSeverityIsTheServers) {
  std::vector<std::string> lines;
  const ServerLog log([&lines](const std::string& line) { lines.push_back(line); }, ServerLog::Format::kJson);
  const GrpcLog route(&log);
  gpr_log("tcp.cc", 12, GPR_LOG_SEVERITY_INFO, "one");
  gpr_log("tcp.cc", 12, GPR_LOG_SEVERITY_ERROR, "two");
  EXPECT_THAT(lines, ElementsAre(MatchesRegex(R"(.*"severity":"info","event":"grpc","message":"one",.*)"),
                                 MatchesRegex(R"(.*"severity":"error","event":"grpc","message":"two",.*)")));
}

}  // namespace
}  // namespace greenring::control
