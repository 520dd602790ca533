#include "control/config/address.h"

#include "gtest/gtest.h"

namespace greenring::control {
namespace {

std::string NormalisedOf(std::string_view text) {
  std::string problem;
  const std::optional<Address> address = ParseAddress(text, &problem);
  return address.has_value() ? address->Normalised() : "wrong: " + problem;
}

TEST(AddressTest, HostsPortsAndSocketFilesAreTakenApart) {
  std::string problem;
  std::optional<Address> address = ParseAddress("[::1]:8080", &problem);
  EXPECT_EQ(address->host, "::1");
  EXPECT_EQ(address->port, 8080);
  address = ParseAddress("unix:/run/a:b", &problem);
  EXPECT_TRUE(address->is_unix);
  EXPECT_EQ(address->path, "/run/a:b");
}

TEST(AddressTest, WhatMeansTheSameIsNormalisedToTheSame) {
  EXPECT_EQ(NormalisedOf(":80"), "*:80");
  EXPECT_EQ(NormalisedOf("*:80"), "*:80");
  EXPECT_EQ(NormalisedOf("LocalHost:080"), "localhost:80");
  EXPECT_EQ(NormalisedOf("[FE80::1%eth0]:1"), "[fe80::1%eth0]:1");
  EXPECT_EQ(NormalisedOf("127.0.0.1:0"), "127.0.0.1:0");
}

TEST(AddressTest, WhatIsNoAddressIsRefusedWithTheReason) {
  const auto reason = [](const char* text) {
    const std::string wrong = NormalisedOf(text);
    const std::string start =
        std::string("wrong: must be host:port, [IPv6]:port or unix:/path, not \"") + text + "\": ";
    EXPECT_EQ(wrong.substr(0, start.size()), start);
    return wrong.substr(std::min(start.size(), wrong.size()));
  };
  EXPECT_EQ(reason("8080"), "it has no port");
  EXPECT_EQ(reason("host:"), "the port is no number from 0 to 65535");
  EXPECT_EQ(reason("host:65536"), "the port is no number from 0 to 65535");
  EXPECT_EQ(reason("host:+1"), "the port is no number from 0 to 65535");
  EXPECT_EQ(reason("host:http"), "the port is no number from 0 to 65535");
  EXPECT_EQ(reason("::1:80"), "an IPv6 address needs brackets");
  EXPECT_EQ(reason("[host]:80"), "what is in brackets is no IPv6 address");
  EXPECT_EQ(reason("http://host:80"), "an IPv6 address needs brackets");
  EXPECT_EQ(reason("a b:80"), "the host is no name or address");
  EXPECT_EQ(reason("unix:"), "it names no file");
  EXPECT_EQ(reason(("unix:/" + std::string(107, 'x')).c_str()), "the path of a socket has at most 107 bytes, not 108");
}

}  // namespace
}  // namespace greenring::control
