#include "protocol/request_head.h"

#include <gtest/gtest.h>

namespace greenring::protocol {
namespace {

TEST(FindHeader, TheFirstOfSeveralInAnyCase) {
  RequestHead head;
  head.headers = {{"X-Other", "0"}, {"User-AGENT", "first"}, {"user-agent", "second"}};
  EXPECT_EQ(FindHeader(head, "user-agent"), "first");
  EXPECT_EQ(FindHeader(head, "user"), std::nullopt);
}

TEST(FindHeader, OfVariablesTheLastThatStandsForIt) {
  RequestHead head;
  head.variables = {{"HTTP_USER_AGENT", "first"}, {"HTTP_USER_AGENT", "last"}, {"USER_AGENT", "none"}};
  EXPECT_EQ(FindHeader(head, "user-agent"), "last");
  EXPECT_EQ(FindHeader(head, "agent"), std::nullopt);
  EXPECT_EQ(FindHeader(head, "user-agents"), std::nullopt);
}

}  // namespace
}  // namespace greenring::protocol
