#include "ioloop/posix/position_lock.h"

#include <sys/stat.h>

#include <vector>

#include "gtest/gtest.h"
#include "ioloop/posix/posix_world.h"

namespace greenring::posix {
namespace {

struct stat FileOf(dev_t device, ino_t inode) {
  struct stat file {};
  file.st_dev = device;
  file.st_ino = inode;
  return file;
}

TEST(PositionLockTest, OneGreenThreadAtATimeHoldsAFiles) {
  PosixWorld world;
  int inside = 0, turns = 0;
  for (int i = 0; i < 10; ++i) {
    world.Go([&] {
      PositionLock lock;
      ASSERT_TRUE(lock.Acquire(FileOf(1, 7)));
      EXPECT_EQ(++inside, 1);
      for (int j = 0; j < 3; ++j) world.scheduler()->Yield();
      --inside;
      ++turns;
    });
  }
  world.RunAll();
  EXPECT_EQ(turns, 10);
  EXPECT_FALSE(PositionLock::AnyHeld());
}

TEST(PositionLockTest, OtherFilesAreNotInTheWay) {
  PosixWorld world;
  world.Run([] {
    PositionLock first, second, third;
    EXPECT_TRUE(first.Acquire(FileOf(1, 7)));
    EXPECT_TRUE(second.Acquire(FileOf(1, 8)));
    EXPECT_TRUE(third.Acquire(FileOf(2, 7)));
    EXPECT_TRUE(PositionLock::AnyHeld());
  });
}

TEST(PositionLockTest, ACancelEndsTheWait) {
  PosixWorld world;
  bool acquired = true;
  world.Go([&] {
    PositionLock lock;
    ASSERT_TRUE(lock.Acquire(FileOf(1, 7)));
    green::GreenThread* const waiting = world.Go([&] {
      PositionLock second;
      acquired = second.Acquire(FileOf(1, 7));
    });
    world.scheduler()->Yield();
    world.scheduler()->Cancel(waiting);
    world.scheduler()->Yield();
    EXPECT_FALSE(acquired);
  });
  world.RunAll();
  EXPECT_FALSE(PositionLock::AnyHeld());
}

}  // namespace
}  // namespace greenring::posix
