#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "base/sanitizers.h"
#include "gtest/gtest.h"
#include "ioloop/posix/lock_test_util.h"
#include "ioloop/posix/posix_world.h"

namespace greenring::posix {
namespace {

std::function<void()> initialise;
std::atomic<int> initialised{0};

class OnceTest : public ::testing::Test {
 protected:
  OnceTest() {
    initialised.store(0);
    initialise = [] {};
  }

  void CallOnce() {
    EXPECT_EQ(pthread_once(&once_,
                           [] {
                             initialise();
                             initialised.fetch_add(1);
                           }),
              0);
  }

  PosixWorld world_;
  pthread_once_t once_ = PTHREAD_ONCE_INIT;
};

TEST_F(OnceTest, AllWaitUntilTheOneHasDoneIt) {
  initialise = [] { SleepMs(5); };
  bool others_ran = false;
  std::thread thread;
  world_.Go([&] {
    CallOnce();
    EXPECT_TRUE(others_ran);
  });
  for (int i = 0; i < 3; ++i) {
    world_.Go([&] {
      others_ran = true;
      CallOnce();
      EXPECT_EQ(initialised.load(), 1);
    });
  }
  world_.Go([&] {
    thread = std::thread([&] {
      CallOnce();
      EXPECT_EQ(initialised.load(), 1);
    });
  });
  world_.RunAll();
  thread.join();
  CallOnce();
  EXPECT_EQ(initialised.load(), 1);
}

TEST_F(OnceTest, AGreenThreadWaitsForAnOsThread) {
  std::atomic<bool> begun{false}, go_on{false};
  initialise = [&] {
    begun.store(true);
    while (!go_on.load()) std::this_thread::yield();
  };
  std::thread thread([&] { CallOnce(); });
  while (!begun.load()) std::this_thread::yield();
  world_.Go([&] {
    CallOnce();
    EXPECT_EQ(initialised.load(), 1);
  });
  world_.Go([&] { go_on.store(true); });
  world_.RunAll();
  thread.join();
}

TEST_F(OnceTest, AfterAnExceptionTheNextOneDoesIt) {
  int tries = 0;
  initialise = [&] {
    SleepMs(2);
    if (++tries == 1) throw std::runtime_error("not this time");
  };
  int thrown = 0;
  for (int i = 0; i < 3; ++i) {
    world_.Go([&] {
      try {
        CallOnce();
      } catch (const std::runtime_error&) {
        ++thrown;
      }
    });
  }
  world_.RunAll();
  EXPECT_EQ(thrown, 1);
  EXPECT_EQ(tries, 2);
  EXPECT_EQ(initialised.load(), 1);
}

TEST_F(OnceTest, AnOsThreadThatEndsInItLeavesItUndone) {
  initialise = [] { pthread_exit(nullptr); };
  std::thread([&] { CallOnce(); }).join();
  EXPECT_EQ(initialised.load(), 0);
  initialise = [] {};
  world_.Run([&] { CallOnce(); });
  EXPECT_EQ(initialised.load(), 1);
}

TEST_F(OnceTest, WhatAnotherThreadWasAtIsUndoneInTheChildOfFork) {
  initialise = [] { SleepMs(20); };
  int status = -1;
  world_.Go([&] { CallOnce(); });
  world_.Go([&] {
    const pid_t child = fork();
    if (child == 0) {
      initialise = [] {};
      CallOnce();
      _exit(initialised.load() == 1 ? 7 : 1);
    }
    waitpid(child, &status, 0);
  });
  world_.RunAll();
  EXPECT_EQ(WEXITSTATUS(status), 7);
  EXPECT_EQ(initialised.load(), 1);
}

TEST_F(OnceTest, CancelDoesNotEndAWait) {
  initialise = [] { SleepMs(5); };
  world_.Go([&] { CallOnce(); });
  green::GreenThread* waiting = world_.Go([&] {
    CallOnce();
    EXPECT_EQ(initialised.load(), 1);
  });
  world_.Go([&] { world_.scheduler()->Cancel(waiting); });
  world_.RunAll();
}

// libstdc++ tells pthread_once's function in thread-local variables what to call: each its own, after a wait too.
TEST_F(OnceTest, StandardCallOnceCallsTheFunctionOfWhoCalls) {
  std::once_flag flag, other_flag;
  int called_by = 0;
  bool other_called = false;
  world_.Go([&] {
    try {
      std::call_once(flag, [&] {
        SleepMs(5);
        throw std::runtime_error("not this time");
      });
      ADD_FAILURE() << "did not throw";
    } catch (const std::runtime_error&) {
    }
  });
  world_.Go([&] { std::call_once(flag, [&] { called_by = 2; }); });
  world_.Go([&] { std::call_once(other_flag, [&] { other_called = true; }); });
  world_.RunAll();
  EXPECT_EQ(called_by, 2);
  EXPECT_TRUE(other_called);
}

#if !GREENRING_TSAN  // its runtime answers for these, and blocks the OS thread

int Compute() {
  initialise();
  return initialised.fetch_add(1) + 1;
}

TEST_F(OnceTest, AStaticVariableIsInitialisedOnceAcrossAPark) {
  const auto use = [] {
    static const int value = Compute();
    EXPECT_EQ(value, 1);
  };
  initialise = [] { SleepMs(5); };
  std::thread thread;
  for (int i = 0; i < 3; ++i) world_.Go(use);
  world_.Go([&] { thread = std::thread(use); });
  world_.RunAll();
  thread.join();
  EXPECT_EQ(initialised.load(), 1);
}

TEST_F(OnceTest, AStaticVariableWhoseInitialiserThrewIsTriedAgain) {
  int tries = 0;
  initialise = [&] {
    SleepMs(2);
    if (++tries == 1) throw std::runtime_error("not this time");
  };
  int thrown = 0;
  for (int i = 0; i < 3; ++i) {
    world_.Go([&] {
      try {
        static const int value = Compute();
        EXPECT_EQ(value, 1);
      } catch (const std::runtime_error&) {
        ++thrown;
      }
    });
  }
  world_.RunAll();
  EXPECT_EQ(thrown, 1);
  EXPECT_EQ(tries, 2);
}

int Recurse() {
  static const int value = Recurse();
  return value;
}

TEST(OnceDeathTest, AStaticVariableThatNeedsItselfIsFatalNotAHang) { EXPECT_DEATH(Recurse(), "come back to itself"); }

#endif

}  // namespace
}  // namespace greenring::posix
