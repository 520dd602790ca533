#include "worker/access_log.h"

#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "base/clock.h"
#include "gtest/gtest.h"

namespace greenring::worker {
namespace {

constexpr int64_t kNowNs = 1700000000 * kNanosecondsPerSecond;

class AccessLogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    setenv("TZ", "UTC", 1);
    tzset();
    std::string pattern = ::testing::TempDir() + "access_log.XXXXXX";
    const int fd = mkstemp(pattern.data());
    ASSERT_GE(fd, 0);
    close(fd);
    path_ = pattern;
    file_ = LogFile::Open(path_, 1).value();
    head_.method = "GET";
    head_.target = "/a?b=1";
    head_.headers = {{"referer", "http://r/"}, {"User-Agent", "curl/8"}};
  }
  void TearDown() override { unlink(path_.c_str()); }

  std::string Written() const {
    std::ostringstream text;
    text << std::ifstream(path_).rdbuf();
    return text.str();
  }

  std::string path_;
  std::unique_ptr<LogFile> file_;
  protocol::RequestHead head_;
};

TEST_F(AccessLogTest, WritesTheCombinedFormat) {
  AccessLog log(file_.get());
  log.Append({.client = "127.0.0.1", .head = &head_, .status = 200, .body_bytes = 13}, kNowNs);
  EXPECT_EQ(Written(), "") << "lines are gathered";
  log.Flush();
  EXPECT_EQ(Written(),
            "127.0.0.1 - - [14/Nov/2023:22:13:20 +0000] \"GET /a?b=1 HTTP/1.1\" 200 13 \"http://r/\" \"curl/8\"\n");
}

TEST_F(AccessLogTest, WhatIsMissingIsADash) {
  AccessLog log(file_.get());
  const protocol::RequestHead unparsed;
  log.Append({.client = "-", .head = &unparsed, .status = 400, .body_bytes = 0}, kNowNs);
  log.Flush();
  EXPECT_EQ(Written(), "- - - [14/Nov/2023:22:13:20 +0000] \"-\" 400 - \"-\" \"-\"\n");
}

TEST_F(AccessLogTest, RequestWithoutAnAnswerIs499) {
  AccessLog log(file_.get());
  log.Append({.client = "::1", .head = &head_, .status = 0, .body_bytes = 0}, kNowNs);
  log.Flush();
  EXPECT_NE(Written().find("\" 499 - "), std::string::npos);
}

TEST_F(AccessLogTest, NoRequestCanForgeALine) {
  head_.target = "/\"\\";
  head_.headers = {{"User-Agent", "x\" 200 1\t\xff"}};
  AccessLog log(file_.get());
  log.Append({.client = "h", .head = &head_, .status = 200, .body_bytes = 1}, kNowNs);
  log.Flush();
  EXPECT_NE(Written().find("\"GET /\\x22\\x5c HTTP/1.1\""), std::string::npos) << Written();
  EXPECT_NE(Written().find("\"x\\x22 200 1\\x09\\xff\"\n"), std::string::npos) << Written();
}

TEST_F(AccessLogTest, WhatTheApplicationAddsFollowsAndCannotForgeALine) {
  const LogVariables variables = {{"user", "anna"}, {"plan", "a\"b\n"}};
  AccessLog log(file_.get());
  log.Append({.client = "h", .head = &head_, .status = 200, .body_bytes = 1, .variables = &variables}, kNowNs);
  log.SetFormat(LogFormat::kJson);
  log.Append({.client = "h", .head = &head_, .status = 200, .body_bytes = 1, .variables = &variables}, kNowNs);
  log.Flush();
  EXPECT_NE(Written().find("\" user=\"anna\" plan=\"a\\x22b\\x0a\"\n"), std::string::npos) << Written();
  EXPECT_NE(Written().find(",\"vars\":{\"user\":\"anna\",\"plan\":\"a\\\"b\\n\"}}\n"), std::string::npos) << Written();
}

TEST_F(AccessLogTest, ManyLinesAreWrittenWithoutAFlush) {
  AccessLog log(file_.get());
  for (int i = 0; i < 1000; ++i) log.Append({.client = "h", .head = &head_, .status = 200, .body_bytes = 1}, i);
  EXPECT_GT(Written().size(), 32u * 1024);
}

TEST(LogFileTest, PathThatCannotBeOpenedIsNamed) {
  const absl::Status status = LogFile::Open("/nowhere/at/all.log", 1).status();
  EXPECT_NE(std::string(status.message()).find("/nowhere/at/all.log"), std::string::npos) << status;
}

TEST_F(AccessLogTest, AnObjectHasWhatIsKnown) {
  AccessLog log(file_.get());
  log.SetFormat(LogFormat::kJson);
  head_.host = "shop.example";
  log.Append({.client = "127.0.0.1",
              .head = &head_,
              .status = 200,
              .body_bytes = 13,
              .request_id = "ab-1",
              .queue_ns = 1'500,
              .run_ns = 2'345'678},
             kNowNs);
  log.Flush();
  EXPECT_EQ(Written(),
            "{\"time\":\"2023-11-14T22:13:20.000Z\",\"request_id\":\"ab-1\",\"client\":\"127.0.0.1\","
            "\"method\":\"GET\",\"target\":\"/a?b=1\",\"protocol\":\"HTTP/1.1\",\"host\":\"shop.example\","
            "\"status\":200,\"bytes\":13,\"queue_ms\":0.001,\"run_ms\":2.345,"
            "\"referer\":\"http://r/\",\"user_agent\":\"curl/8\"}\n");
}

TEST_F(AccessLogTest, AnObjectOfARequestThatCouldNotBeParsedHasNoRequestLine) {
  AccessLog log(file_.get());
  log.SetFormat(LogFormat::kJson);
  const protocol::RequestHead unparsed;
  log.Append({.client = "-", .head = &unparsed, .status = 400, .body_bytes = 0}, kNowNs);
  log.Flush();
  EXPECT_EQ(Written(),
            "{\"time\":\"2023-11-14T22:13:20.000Z\",\"client\":\"-\",\"status\":400,\"bytes\":0,"
            "\"queue_ms\":0.000,\"run_ms\":0.000}\n");
}

TEST_F(AccessLogTest, ClientsCannotForgeAnObject) {
  AccessLog log(file_.get());
  log.SetFormat(LogFormat::kJson);
  head_.target = "/\",\"status\":200}\n{";
  head_.headers = {{"user-agent", "\xff\t\""}};
  log.Append({.client = "h", .head = &head_, .status = 0, .body_bytes = 0}, kNowNs);
  log.Flush();
  const std::string written = Written();
  EXPECT_EQ(written.find('\n'), written.size() - 1);
  EXPECT_NE(written.find("\"target\":\"/\\\",\\\"status\\\":200}\\n{\""), std::string::npos) << written;
  EXPECT_NE(written.find("\"user_agent\":\"\\ufffd\\t\\\"\""), std::string::npos) << written;
  EXPECT_NE(written.find("\"status\":499"), std::string::npos);
}

}  // namespace
}  // namespace greenring::worker
