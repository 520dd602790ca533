#include "tools/greenctl/top/render.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "tools/greenctl/human.h"
#include "tools/greenctl/top/testing.h"

namespace greenring::greenctl {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class RenderTest : public ::testing::Test {
 protected:
  RenderTest() {
    v1::Server server;
    server.set_version("1.2");
    server.set_pid(42);
    server.mutable_start_time()->set_seconds(1000);
    model_.OnServer(server);
    v1::ListPoolsResponse pools;
    *pools.add_pools() = TestPool("web", 2);
    model_.OnPools(pools);
    v1::ListRequestsResponse requests;
    for (int i = 1; i <= 30; ++i) *requests.add_requests() = TestRequest(absl::StrCat("web/1/", i), 100 - i);
    model_.OnRequests(requests);
    model_.OnStatistics(TestStatistics("web", 0, 1000, 5));
    model_.OnStatistics(TestStatistics("web", 1, 1250, 128));
  }

  std::string Line(int row, int width = 80, int height = 24) {
    return TextOf(Render(model_, width, height, absl::FromUnixSeconds(1192))[row]);
  }
  std::string All(int width = 80, int height = 24) {
    std::string all;
    for (const Row& row : Render(model_, width, height, absl::FromUnixSeconds(1192)))
      absl::StrAppend(&all, TextOf(row), "\n");
    return all;
  }

  Model model_{"unix:/socket"};
};

TEST_F(RenderTest, FillsTheScreenExactlyWhateverItsSize) {
  model_.OnKey('w');
  for (const auto& [width, height] : {std::pair(80, 24), {200, 60}, {20, 5}, {7, 3}, {1, 1}, {0, 0}}) {
    const Screen screen = Render(model_, width, height, absl::FromUnixSeconds(1192));
    ASSERT_EQ(screen.size(), static_cast<size_t>(std::max(height, 1)));
    for (const Row& row : screen) EXPECT_EQ(DisplayWidth(TextOf(row)), std::max(width, 1));
  }
}

TEST_F(RenderTest, SaysWhichServerAndWhatItDoesAltogether) {
  EXPECT_THAT(Line(0), StartsWith("greenring 1.2  pid 42  up 3m12s  unix:/socket"));
  EXPECT_THAT(Line(1), StartsWith("1 pool  workers 2/2  cores 128/512  250 req/s  0 err/s  CPU 25%  RSS 64MiB"));
}

TEST_F(RenderTest, APoolIsALine) {
  EXPECT_THAT(Line(3), StartsWith("POOL"));
  EXPECT_THAT(Line(4), ::testing::ContainsRegex("^web +READY +2/2 128/512 +0 +250 .*25% +64MiB *$"));
}

TEST_F(RenderTest, ShowsAsManyRequestsAsFitAndSaysHowManyThereAre) {
  EXPECT_THAT(Line(6), ::testing::ContainsRegex("^REQUEST +AGE STATE +CALL .*PATH  16 of 30 *$"));
  EXPECT_THAT(Line(7),
              ::testing::ContainsRegex("^web/1/1 +1m39s PARKED +recv 10.0.0.5:5432 .*20KiB GET /of/web/1/1 *$"));
  EXPECT_THAT(Line(6, 120), HasSubstr("16 of 30"));
  EXPECT_THAT(Line(23), HasSubstr("s by age"));
}

TEST_F(RenderTest, TheSelectedRequestIsAlwaysVisible) {
  for (int i = 0; i < 29; ++i) model_.OnKey(kKeyDown);
  const Screen screen = Render(model_, 80, 24, absl::FromUnixSeconds(1192));
  EXPECT_THAT(TextOf(screen[22]), StartsWith("web/1/30 "));
  EXPECT_EQ(screen[22][0].style, Style::kSelected);
}

TEST_F(RenderTest, TablesCanBeHidden) {
  EXPECT_THAT(All(), Not(HasSubstr("WORKER ")));
  model_.OnKey('w');
  EXPECT_THAT(All(), HasSubstr("WORKER "));
  model_.OnKey('p');
  EXPECT_THAT(All(), Not(HasSubstr("POOL ")));
}

TEST_F(RenderTest, SaysThatTheServerIsGone) {
  model_.OnLost("no server answers\x1b[2J");
  EXPECT_THAT(Line(1), StartsWith("no connection, trying again: no server answers\\x1b[2J"));
}

TEST_F(RenderTest, AsksBeforeARequestIsCancelled) {
  model_.OnKey('k');
  EXPECT_THAT(Line(23), StartsWith("cancel web/1/1? y/n"));
}

TEST_F(RenderTest, ShowsAStack) {
  model_.OnKey('t');
  model_.OnStack("pools/web/workers/1/requests/1", "  File \"app.py\", line 3\n    sleep(1)\n");
  EXPECT_THAT(All(), HasSubstr("Stack of web/1/1"));
  EXPECT_THAT(All(), HasSubstr("  File \"app.py\", line 3 "));
}

TEST_F(RenderTest, HelpNamesTheKeys) {
  model_.OnKey('?');
  EXPECT_THAT(All(), HasSubstr("cancel the selected request"));
}

TEST_F(RenderTest, WhatAClientSentCannotWriteToTheTerminal) {
  v1::ListRequestsResponse requests;
  *requests.add_requests() = TestRequest("web/1/1", 1);
  requests.mutable_requests(0)->set_target("/\x1b]0;owned\x07");
  model_.OnRequests(requests);
  EXPECT_THAT(All(120), HasSubstr("/\\x1b]0;owned\\x07"));
}

}  // namespace
}  // namespace greenring::greenctl
