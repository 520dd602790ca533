#include "control/config/resource_names.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

using testing::ElementsAre;

TEST(ResourceNamesTest, ANameHasTheIdsOfItsPattern) {
  EXPECT_THAT(*IdsOfName("pools/web", kPoolPattern), ElementsAre("web"));
  EXPECT_THAT(*IdsOfName("pools/web-2/workers/3/requests/17", kRequestPattern), ElementsAre("web-2", "3", "17"));
  EXPECT_THAT(*IdsOfName("operations/5", kOperationPattern), ElementsAre("5"));
  EXPECT_EQ(NameOfIds({"web", "3"}, kWorkerPattern), "pools/web/workers/3");
}

TEST(ResourceNamesTest, WhatHasAnotherFormIsNoName) {
  for (const char* name : {"", "web", "pools", "pools/", "pools/Web", "pools/2", "pools/-", "pools/web/", "/pools/web",
                           "pools/web\n", "poolz/web", "pools/web/workers/3"}) {
    EXPECT_FALSE(IdsOfName(name, kPoolPattern).has_value()) << name;
  }
  for (const char* name : {"pools/web/workers/x", "pools/web/workers/-1", "pools/web/workers/12345678901234567890"}) {
    EXPECT_FALSE(IdsOfName(name, kWorkerPattern).has_value()) << name;
  }
  EXPECT_FALSE(IdsOfName(std::string("pools/") + std::string(64, 'a'), kPoolPattern).has_value());
  EXPECT_TRUE(IdsOfName(std::string("pools/") + std::string(63, 'a'), kPoolPattern).has_value());
}

TEST(ResourceNamesTest, ADashStandsForAllWhereThatIsMeant) {
  EXPECT_FALSE(IdsOfName("pools/-/workers/-", kWorkerPattern).has_value());
  EXPECT_THAT(*IdsOfName("pools/-/workers/-", kWorkerPattern, Dashes::kForAny), ElementsAre("-", "-"));
}

}  // namespace
}  // namespace greenring::control
