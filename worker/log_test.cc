#include "worker/log.h"

#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace greenring::worker {
namespace {

using ::testing::MatchesRegex;

constexpr const char* kTextStamp = "[0-9]+-[0-9]+-[0-9]+ [0-9]+:[0-9]+:[0-9]+ \\[[0-9]+\\] ";
constexpr const char* kJsonStart = "\\{\"time\":\"[-0-9]+T[0-9:.]+Z\",\"pid\":[0-9]+,";

class ErrorLogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = ::testing::TempDir() + "error_log.XXXXXX";
    const int fd = mkstemp(path_.data());
    ASSERT_GE(fd, 0);
    close(fd);
    file_ = LogFile::Open(path_, 2).value();
    log_ = std::make_unique<ErrorLog>(file_.get());
  }
  void TearDown() override { unlink(path_.c_str()); }

  // And what was written before is forgotten.
  std::string TakeWritten() {
    std::ostringstream text;
    text << std::ifstream(path_).rdbuf();
    EXPECT_EQ(truncate(path_.c_str(), 0), 0);
    return text.str();
  }

  std::string path_;
  std::unique_ptr<LogFile> file_;
  std::unique_ptr<ErrorLog> log_;
};

TEST_F(ErrorLogTest, TextNamesTheProcessAndTheRequest) {
  log_->Message("hello");
  EXPECT_THAT(TakeWritten(), MatchesRegex(std::string(kTextStamp) + "hello\n"));
  log_->RequestMessage({.id = "ab-1", .method = "GET", .target = "/x"}, "failed\nwith this");
  EXPECT_THAT(TakeWritten(), MatchesRegex(std::string(kTextStamp) + "\\[ab-1\\] GET /x: failed\nwith this\n"));
  log_->RequestMessage({.id = "", .method = "GET", .target = "/x"}, "failed");
  EXPECT_THAT(TakeWritten(), MatchesRegex(std::string(kTextStamp) + "GET /x: failed\n"));
  log_->ApplicationText("just as ");
  log_->ApplicationText("it is");
  EXPECT_EQ(TakeWritten(), "just as it is");
}

TEST_F(ErrorLogTest, JsonIsOneObjectALine) {
  log_->SetFormat(LogFormat::kJson);
  log_->Message("two\nlines");
  EXPECT_THAT(TakeWritten(), MatchesRegex(std::string(kJsonStart) + "\"message\":\"two\\\\nlines\"\\}\n"));
  log_->RequestMessage({.id = "ab-1", .method = "GET", .target = "/\""}, "failed");
  EXPECT_THAT(TakeWritten(), MatchesRegex(std::string(kJsonStart) +
                                          "\"request_id\":\"ab-1\",\"method\":\"GET\",\"target\":\"/\\\\\"\","
                                          "\"message\":\"failed\"\\}\n"));
}

TEST_F(ErrorLogTest, WhatTheApplicationWritesInPiecesIsALineWhenItIsComplete) {
  log_->SetFormat(LogFormat::kJson);
  log_->ApplicationText("one");
  EXPECT_EQ(TakeWritten(), "");
  log_->ApplicationText(" line\nand ano");
  const std::string one = std::string(kJsonStart) + "\"source\":\"application\",\"message\":\"one line\"\\}\n";
  EXPECT_THAT(TakeWritten(), MatchesRegex(one));
  log_.reset();
  EXPECT_THAT(TakeWritten(),
              MatchesRegex(std::string(kJsonStart) + "\"source\":\"application\",\"message\":\"and ano\"\\}\n"));
}

TEST_F(ErrorLogTest, ALineWithoutEndIsWrittenAllTheSame) {
  log_->SetFormat(LogFormat::kJson);
  log_->ApplicationText(std::string(ErrorLog::kLineBytesMax, 'x'));
  EXPECT_GT(TakeWritten().size(), ErrorLog::kLineBytesMax);
}

TEST_F(ErrorLogTest, TheFormatChangesWhileItIsInUse) {
  log_->SetFormat(LogFormat::kJson);
  log_->ApplicationText("begun ");
  log_->SetFormat(LogFormat::kText);
  log_->ApplicationText("as text\n");
  EXPECT_THAT(TakeWritten(), MatchesRegex(std::string(kJsonStart) +
                                          "\"source\":\"application\",\"message\":\"begun \"\\}\nas text\n"));
}

}  // namespace
}  // namespace greenring::worker
