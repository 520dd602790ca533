#include "ioloop/posix/offload.h"

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "base/clock.h"
#include "base/sanitizers.h"
#include "gtest/gtest.h"
#include "ioloop/posix/posix_world.h"

namespace greenring::posix {
namespace {

TEST(OffloadTest, RunsOnAnotherThreadWhileTheGreenThreadParks) {
  PosixWorld world;
  std::thread::id where;
  std::atomic<bool> go{false};
  bool ended = false;
  world.Go([&] {
    Offload([&] {
      while (!go.load()) std::this_thread::yield();
      where = std::this_thread::get_id();
    });
    ended = true;
  });
  world.Go([&] {
    EXPECT_FALSE(ended);
    go.store(true);
  });
  world.RunAll();
  EXPECT_TRUE(ended);
  EXPECT_NE(where, std::thread::id());
  EXPECT_NE(where, std::this_thread::get_id());
}

TEST(OffloadTest, ErrnoComesBack) {
  PosixWorld world;
  world.Run([&] {
    errno = 77;
    h_errno = 77;
    Offload([] {
      EXPECT_EQ(errno, 0);
      errno = ENOTTY;
      h_errno = TRY_AGAIN;
    });
    EXPECT_EQ(errno, ENOTTY);
    EXPECT_EQ(h_errno, TRY_AGAIN);
  });
}

TEST(OffloadTest, EveryOneOfManyRunsBesideTheOthers) {
  // Each waits for all: with fewer helpers than calls they would never end.
  constexpr int kCalls = 100;
  static_assert(kCalls <= kHelpersMax);
  PosixWorld world;
  std::atomic<int> inside{0};
  for (int i = 0; i < kCalls; ++i) {
    world.Go([&] {
      Offload([&] {
        ++inside;
        while (inside.load() < kCalls) usleep(100);
      });
    });
  }
  world.RunAll();
  EXPECT_EQ(inside, kCalls);
  EXPECT_GE(HelperCount(), kCalls);
}

TEST(OffloadTest, MoreThanThereAreHelpersWaitTheirTurn) {
  PosixWorld world;
  std::atomic<int> done{0}, inside{0}, inside_max{0};
  for (int i = 0; i < kHelpersMax * 3; ++i) {
    world.Go([&] {
      Offload([&] {
        const int now = ++inside;
        for (int seen = inside_max.load(); seen < now && !inside_max.compare_exchange_weak(seen, now);) {
        }
        usleep(500);
        --inside;
        ++done;
      });
    });
  }
  world.RunAll();
  EXPECT_EQ(done, kHelpersMax * 3);
  EXPECT_LE(inside_max, kHelpersMax);
  EXPECT_LE(HelperCount(), kHelpersMax);
}

TEST(OffloadTest, ACancelDoesNotEndIt) {
  PosixWorld world;
  std::atomic<bool> go{false};
  bool ran = false;
  green::GreenThread* const waiting = world.Go([&] {
    Offload([&] {
      while (!go.load()) std::this_thread::yield();
      ran = true;
    });
    EXPECT_TRUE(ran);
  });
  world.Go([&] {
    world.scheduler()->Cancel(waiting);
    world.scheduler()->Yield();
    go.store(true);
  });
  world.RunAll();
  EXPECT_TRUE(ran);
}

TEST(OffloadTest, SignalsAreBlockedOnHelpers) {
  PosixWorld world;
  world.Run([&] {
    Offload([] {
      sigset_t blocked;
      ASSERT_EQ(pthread_sigmask(SIG_BLOCK, nullptr, &blocked), 0);
      EXPECT_TRUE(sigismember(&blocked, SIGINT));
      EXPECT_TRUE(sigismember(&blocked, SIGCHLD));
    });
  });
}

TEST(OffloadTest, LoopsOfSeveralThreadsShareTheHelpers) {
  std::atomic<int> done{0};
  const auto work = [&] {
    for (int round = 0; round < 20; ++round) {
      PosixWorld world;
      for (int i = 0; i < 10; ++i) {
        world.Go([&] { Offload([&] { ++done; }); });
      }
      world.RunAll();
    }
  };
  std::thread other(work);
  work();
  other.join();
  EXPECT_EQ(done, 400);
}

TEST(OffloadTest, TheChildOfAForkMakesItsOwn) {
#if GREENRING_TSAN
  GTEST_SKIP() << "TSan starts no threads in a child of fork";
#endif
  PosixWorld world;
  world.Run([] { Offload([] {}); });
  EXPECT_GT(HelperCount(), 0);
  const pid_t child = fork();
  if (child == 0) {
    const bool none = HelperCount() == 0;
    bool ran = false;
    PosixWorld childs;
    childs.Run([&] { Offload([&] { ran = true; }); });
    _exit(none && ran ? 0 : 1);
  }
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace greenring::posix
