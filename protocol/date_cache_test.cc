#include "protocol/date_cache.h"

#include <gtest/gtest.h>

namespace greenring::protocol {
namespace {

TEST(DateCache, FormatsAsRfc9110Wants) {
  DateCache dates;
  EXPECT_EQ(dates.Line(784111777), "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
  EXPECT_EQ(dates.Line(0), "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n");
  EXPECT_EQ(dates.Line(951782400), "Date: Tue, 29 Feb 2000 00:00:00 GMT\r\n");
  EXPECT_EQ(dates.Line(253402300799), "Date: Fri, 31 Dec 9999 23:59:59 GMT\r\n");
}

TEST(DateCache, FollowsAClockThatGoesBack) {
  DateCache dates;
  EXPECT_EQ(dates.Line(784111778), "Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n");
  EXPECT_EQ(dates.Line(784111777), "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
}

}  // namespace
}  // namespace greenring::protocol
