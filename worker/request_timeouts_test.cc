#include "worker/request_timeouts.h"

#include "gtest/gtest.h"

namespace greenring::worker {
namespace {

TEST(RequestTimeoutsTest, WithoutAnyThereIsNone) { EXPECT_EQ(RequestTimeouts().For("/"), kNeverNs); }

TEST(RequestTimeoutsTest, TheLongestPathWinsWhateverTheOrder) {
  RequestTimeouts timeouts;
  timeouts.Set("/a", 2);
  timeouts.Set("/a/b/c", 4);
  timeouts.Set("", 1);
  timeouts.Set("/a/b", 3);
  EXPECT_EQ(timeouts.For("/"), 1);
  EXPECT_EQ(timeouts.For("/a"), 2);
  EXPECT_EQ(timeouts.For("/a/x"), 2);
  EXPECT_EQ(timeouts.For("/a/b"), 3);
  EXPECT_EQ(timeouts.For("/a/b/c/d"), 4);
}

TEST(RequestTimeoutsTest, APathCoversWhatIsBelowItAndNoLongerName) {
  RequestTimeouts timeouts;
  timeouts.Set("/export", 1);
  timeouts.Set("/report/", 2);
  EXPECT_EQ(timeouts.For("/exports"), kNeverNs);
  EXPECT_EQ(timeouts.For("/export/1"), 1);
  EXPECT_EQ(timeouts.For("/report"), kNeverNs);
  EXPECT_EQ(timeouts.For("/report/1"), 2);
  EXPECT_EQ(timeouts.For("*"), kNeverNs);
}

TEST(RequestTimeoutsTest, TheLastOfTwoEqualOnesWins) {
  RequestTimeouts timeouts;
  timeouts.Set("/a", 1);
  timeouts.Set("/a", 2);
  EXPECT_EQ(timeouts.For("/a"), 2);
}

TEST(RequestTimeoutsTest, ZeroIsNoTimeout) {
  RequestTimeouts timeouts;
  timeouts.Set("", 5);
  timeouts.Set("/export", 0);
  EXPECT_EQ(timeouts.For("/export"), kNeverNs);
  timeouts.Set("", 0);
  EXPECT_EQ(timeouts.For("/"), kNeverNs);
}

}  // namespace
}  // namespace greenring::worker
