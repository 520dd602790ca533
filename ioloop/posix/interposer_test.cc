#include "ioloop/posix/interposer.h"

#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "gtest/gtest.h"
#include "ioloop/posix/posix_world.h"

namespace greenring::posix {
namespace {

TEST(InterposerTest, OnlyGreenThreadsOfAnInterceptedLoopPark) {
  EXPECT_EQ(ParkingLoop(), nullptr);
  PosixWorld world;
  ioloop::EventLoop* inside = nullptr;
  world.Run([&] { inside = ParkingLoop(); });
  EXPECT_EQ(inside, world.loop());
  EXPECT_EQ(ParkingLoop(), nullptr);
}

TEST(InterposerTest, TheChildOfForkDoesNotPark) {
  PosixWorld world;
  int status = -1;
  world.Run([&] {
    const pid_t child = fork();
    if (child == 0) _exit(ParkingLoop() == nullptr ? 7 : 8);
    waitpid(child, &status, 0);
  });
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST(InterposerTest, AForkedChildThatComesBackToTheLoopEndsWithAMessage) {
  PosixWorld world;
  int status = -1;
  world.Run([&] {
    const pid_t child = fork();
    if (child == 0) {
      green::Scheduler::Current()->Park();
      _exit(0);
    }
    while (waitpid(child, &status, WNOHANG) == 0) green::Scheduler::Current()->Yield();
  });
  EXPECT_EQ(WEXITSTATUS(status), EX_SOFTWARE);
  bool goes_on = false;
  world.Run([&] { goes_on = true; });
  EXPECT_TRUE(goes_on);
}

TEST(InterposerTest, TheChildOfVforkDoesNotParkAndItsParentDoes) {
  PosixWorld world;
  int status = -1;
  bool parent_parks = false;
  world.Run([&] {
    const pid_t child = vfork();
    if (child == 0) _exit(ParkingLoop() == nullptr ? 7 : 8);
    parent_parks = ParkingLoop() == world.loop();
    waitpid(child, &status, 0);
  });
  EXPECT_EQ(WEXITSTATUS(status), 7);
  EXPECT_TRUE(parent_parks);
}

}  // namespace
}  // namespace greenring::posix
