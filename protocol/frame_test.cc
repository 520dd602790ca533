#include "protocol/frame.h"

#include <vector>

#include "gtest/gtest.h"

namespace greenring::protocol {
namespace {

using Result = FrameDecoder::Result;

std::string Frame(std::string_view payload) {
  std::string out;
  EXPECT_TRUE(AppendFrame(&out, [payload](std::string* to) {
    to->append(payload);
    return true;
  }));
  return out;
}

std::vector<std::string> TakeAll(FrameDecoder* decoder) {
  std::vector<std::string> payloads;
  std::string_view payload;
  while (decoder->Next(&payload) == Result::kFrame) payloads.emplace_back(payload);
  return payloads;
}

TEST(FrameTest, HasTheSizeInFrontLeastSignificantByteFirst) {
  EXPECT_EQ(Frame("abc"), std::string("\x03\0\0\0abc", 7));
  EXPECT_EQ(Frame(std::string(0x10203, 'x')).substr(0, 4), std::string("\x03\x02\x01\0", 4));
}

TEST(FrameTest, PayloadsComeBackInOrder) {
  FrameDecoder decoder;
  decoder.Append(Frame("first") + Frame("") + Frame("third"));
  EXPECT_EQ(TakeAll(&decoder), (std::vector<std::string>{"first", "", "third"}));
  EXPECT_TRUE(decoder.at_boundary());
}

TEST(FrameTest, BytesMayComeOneByOne) {
  const std::string stream = Frame("first") + Frame("second");
  FrameDecoder decoder;
  std::vector<std::string> payloads;
  for (const char byte : stream) {
    decoder.Append(std::string_view(&byte, 1));
    for (std::string& payload : TakeAll(&decoder)) payloads.push_back(std::move(payload));
  }
  EXPECT_EQ(payloads, (std::vector<std::string>{"first", "second"}));
}

TEST(FrameTest, AnEndInTheMiddleIsNoBoundary) {
  FrameDecoder decoder;
  std::string_view payload;
  decoder.Append(Frame("abc").substr(0, 6));
  EXPECT_EQ(decoder.Next(&payload), Result::kMore);
  EXPECT_FALSE(decoder.at_boundary());
}

TEST(FrameTest, ALengthBeyondTheMaximumBreaksTheStreamForGood) {
  FrameDecoder decoder;
  std::string_view payload;
  decoder.Append(Frame("good") + std::string("\x01\0\0\x01", 4));
  ASSERT_EQ(decoder.Next(&payload), Result::kFrame);
  EXPECT_EQ(payload, "good");
  EXPECT_EQ(decoder.Next(&payload), Result::kTooLong);
  decoder.Append(Frame("good"));
  EXPECT_EQ(decoder.Next(&payload), Result::kTooLong);
}

TEST(FrameTest, TheLongestPayloadFits) {
  FrameDecoder decoder;
  decoder.Append(Frame(std::string(kFramePayloadBytesMax, 'x')));
  std::string_view payload;
  ASSERT_EQ(decoder.Next(&payload), Result::kFrame);
  EXPECT_EQ(payload.size(), kFramePayloadBytesMax);
}

TEST(FrameTest, APayloadThatIsTooLongOrFailsLeavesNothingBehind) {
  std::string out = "before";
  EXPECT_FALSE(AppendFrame(&out, [](std::string* to) {
    to->append(kFramePayloadBytesMax + 1, 'x');
    return true;
  }));
  EXPECT_FALSE(AppendFrame(&out, [](std::string* to) {
    to->append("half");
    return false;
  }));
  EXPECT_EQ(out, "before");
}

}  // namespace
}  // namespace greenring::protocol
