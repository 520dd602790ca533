#include "base/json_text.h"

#include <string>
#include <string_view>

#include "gtest/gtest.h"

namespace greenring {
namespace {

std::string Json(std::string_view text) {
  std::string out;
  AppendJsonString(text, &out);
  return out;
}

TEST(JsonTextTest, LeavesOrdinaryTextAsItIs) {
  EXPECT_EQ(Json(""), "\"\"");
  EXPECT_EQ(Json("GET /a?b=1&c='x'"), "\"GET /a?b=1&c='x'\"");
  EXPECT_EQ(Json("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"), "\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"");
}

TEST(JsonTextTest, EscapesWhatWouldEndAStringOrALine) {
  EXPECT_EQ(Json("\"\\"), "\"\\\"\\\\\"");
  EXPECT_EQ(Json("a\nb\rc\td"), "\"a\\nb\\rc\\td\"");
  EXPECT_EQ(Json(std::string_view("\0\x01\x1f\x7f", 4)), "\"\\u0000\\u0001\\u001f\\u007f\"");
}

TEST(JsonTextTest, ReplacesWhatIsNotUtf8ByteByByte) {
  EXPECT_EQ(Json("\xff"), "\"\\ufffd\"");
  EXPECT_EQ(Json("a\x80z"), "\"a\\ufffdz\"") << "a continuation alone";
  EXPECT_EQ(Json("\xc3"), "\"\\ufffd\"") << "cut off";
  EXPECT_EQ(Json("\xe2\x82"), "\"\\ufffd\\ufffd\"");
  EXPECT_EQ(Json("\xc0\xaf"), "\"\\ufffd\\ufffd\"") << "overlong";
  EXPECT_EQ(Json("\xe0\x80\xaf"), "\"\\ufffd\\ufffd\\ufffd\"");
  EXPECT_EQ(Json("\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\"") << "a surrogate";
  EXPECT_EQ(Json("\xf4\x90\x80\x80"), "\"\\ufffd\\ufffd\\ufffd\\ufffd\"") << "beyond Unicode";
  EXPECT_EQ(Json("\xc3\"x"), "\"\\ufffd\\\"x\"") << "what follows is still escaped";
}

TEST(JsonTextTest, FieldsAreSeparatedByCommas) {
  std::string object = "{";
  AppendJsonField("a", "x", &object);
  AppendJsonField("b", -7, &object);
  AppendJsonMilliseconds("c", 1'234'567, &object);
  AppendJsonMilliseconds("d", -5, &object);
  EXPECT_EQ(object, "{\"a\":\"x\",\"b\":-7,\"c\":1.234,\"d\":0.000");
}

TEST(JsonTextTest, TimesAreInUtcWithMilliseconds) {
  EXPECT_EQ(JsonTime(1'700'000'000'123'456'789), "2023-11-14T22:13:20.123Z");
  EXPECT_EQ(JsonTime(0), "1970-01-01T00:00:00.000Z");
}

}  // namespace
}  // namespace greenring
