#include "protocol/percent_decode.h"

#include <gtest/gtest.h>

#include <string>

namespace greenring::protocol {
namespace {

TEST(PercentDecode, ReplacesEscapesAndKeepsTheRest) {
  const auto decode = [](std::string text) {
    text.resize(PercentDecode(text, text.data()));
    return text;
  };
  EXPECT_EQ(decode(""), "");
  EXPECT_EQ(decode("/plain"), "/plain");
  EXPECT_EQ(decode("/a%20b%2fc%2F%C3%A9+d"), "/a b/c/\xc3\xa9+d");
  EXPECT_EQ(decode("%41"), "A");
  EXPECT_EQ(decode("%00"), std::string(1, '\0'));
  EXPECT_EQ(decode("%"), "%");
  EXPECT_EQ(decode("%4"), "%4");
  EXPECT_EQ(decode("%zz%4g%%41"), "%zz%4g%A");
  EXPECT_EQ(decode("%2541"), "%41");
}

}  // namespace
}  // namespace greenring::protocol
