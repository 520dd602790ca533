#include "base/lock_table.h"

#include <deque>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace greenring {
namespace {

class LockTableTest : public ::testing::Test {
 protected:
  void Lock(int lock, int64_t holder, const std::string& name) {
    locks_.Lock(lock, holder, [this, name] { granted_ += name; });
  }

  LockTable locks_;
  std::string granted_;
};

TEST_F(LockTableTest, AFreeLockIsGrantedAtOnce) {
  EXPECT_FALSE(locks_.IsLocked(0));
  Lock(0, 1, "a");
  EXPECT_EQ(granted_, "a");
  EXPECT_TRUE(locks_.IsLocked(0));
  EXPECT_FALSE(locks_.IsLocked(1));
  EXPECT_EQ(locks_.HolderOf(0), 1);
}

TEST_F(LockTableTest, WaitersGetItInTheOrderOfAsking) {
  Lock(0, 1, "a");
  Lock(0, 2, "b");
  Lock(0, 1, "c");
  EXPECT_EQ(granted_, "a");
  EXPECT_TRUE(locks_.Unlock(0, 1).ok());
  EXPECT_EQ(granted_, "ab");
  EXPECT_TRUE(locks_.Unlock(0, 2).ok());
  EXPECT_EQ(granted_, "abc");
  EXPECT_TRUE(locks_.Unlock(0, 1).ok());
  EXPECT_FALSE(locks_.IsLocked(0));
}

TEST_F(LockTableTest, OneHolderThatAsksTwiceWaitsForItself) {
  Lock(0, 1, "a");
  Lock(0, 1, "b");
  EXPECT_EQ(granted_, "a");
  EXPECT_TRUE(locks_.Unlock(0, 1).ok());
  EXPECT_EQ(granted_, "ab");
}

TEST_F(LockTableTest, WhatIsNotHeldIsNotUnlocked) {
  EXPECT_EQ(locks_.Unlock(3, 1).message(), "nobody holds lock 3");
  Lock(3, 1, "a");
  EXPECT_EQ(locks_.Unlock(3, 2).message(), "another worker holds lock 3, not this one");
  EXPECT_EQ(locks_.HolderOf(3), 1);
}

TEST_F(LockTableTest, AHolderThatEndsGivesUpItsLocksAndItsPlaces) {
  Lock(0, 1, "a");
  Lock(0, 1, "b");
  Lock(0, 2, "c");
  Lock(1, 2, "d");
  Lock(1, 1, "e");
  locks_.Drop(1);
  EXPECT_EQ(granted_, "adc");
  EXPECT_EQ(locks_.HolderOf(0), 2);
  EXPECT_TRUE(locks_.Unlock(1, 2).ok());
  EXPECT_FALSE(locks_.IsLocked(1)) << "the place in line of the dead one was not given up";
}

TEST_F(LockTableTest, WhoIsGrantedALockMayUnlockItAtOnce) {
  Lock(0, 1, "a");
  locks_.Lock(0, 2, [this] {
    granted_ += "b";
    EXPECT_TRUE(locks_.Unlock(0, 2).ok());
  });
  Lock(0, 3, "c");
  locks_.Drop(1);
  EXPECT_EQ(granted_, "abc");
  EXPECT_EQ(locks_.HolderOf(0), 3);
}

// Against a model: one queue for each lock, whose head holds it.
TEST(LockTableStressTest, AgreesWithQueues) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto below = [&random](int bound) { return static_cast<int>(random() % static_cast<uint32_t>(bound)); };
  LockTable locks;
  std::map<int, std::deque<std::pair<int64_t, int>>> model;  // holder, and which Lock it was
  std::vector<bool> granted;
  for (int step = 0; step < 20'000; ++step) {
    const int lock = below(4);
    const int64_t holder = 1 + below(5);
    const int action = below(20);
    if (action < 10) {
      const int number = static_cast<int>(granted.size());
      granted.push_back(false);
      model[lock].emplace_back(holder, number);
      locks.Lock(lock, holder, [&granted, number] { granted[static_cast<size_t>(number)] = true; });
    } else if (action < 19) {
      std::deque<std::pair<int64_t, int>>& line = model[lock];
      const bool holds = !line.empty() && line.front().first == holder;
      if (holds) line.pop_front();
      ASSERT_EQ(locks.Unlock(lock, holder).ok(), holds);
    } else {
      for (auto& [number, line] : model) std::erase_if(line, [&](const auto& one) { return one.first == holder; });
      locks.Drop(holder);
    }
    for (const auto& [number, line] : model) {
      ASSERT_EQ(locks.HolderOf(number), line.empty() ? LockTable::kNobody : line.front().first) << "step " << step;
      for (size_t i = 0; i < line.size(); ++i) {
        ASSERT_EQ(granted[static_cast<size_t>(line[i].second)], i == 0) << "step " << step;
      }
    }
  }
}

}  // namespace
}  // namespace greenring
