#include "control/config/nearest.h"

#include "gtest/gtest.h"

namespace greenring::control {
namespace {

const std::vector<std::string> kNames = {"async_cores", "workers", "timeouts", "user"};

TEST(NearestTest, MisspelledNamesAreFound) {
  EXPECT_EQ(Nearest("async_core", kNames), "async_cores");
  EXPECT_EQ(Nearest("Async-Cores", kNames), "async_cores");
  EXPECT_EQ(Nearest("wrokers", kNames), "workers");
  EXPECT_EQ(Nearest("timeout", kNames), "timeouts");
  EXPECT_EQ(DidYouMean("usr", kNames), " (did you mean user?)");
}

TEST(NearestTest, WhatIsFarFromAllIsNone) {
  EXPECT_EQ(Nearest("banana", kNames), "");
  EXPECT_EQ(Nearest("", kNames), "");
  EXPECT_EQ(Nearest(std::string(100'000, 'x'), kNames), "");
  EXPECT_EQ(DidYouMean("banana", kNames), "");
}

}  // namespace
}  // namespace greenring::control
