// Stacks of OS threads that overflow.
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <csignal>

#include "base/sanitizers.h"
#include "green/stack_overflow.h"
#include "gtest/gtest.h"

namespace greenring::green {
namespace {

// Not a tail call, and not to be optimised into a loop. Does not end.
__attribute__((noinline)) int Recurse(int level) {
  volatile char frame[256];
  frame[0] = static_cast<char>(level);
  return level < 0 ? frame[0] : Recurse(level + 1) + frame[0];
}

std::atomic<int> alarms{0};

struct Thread {
  std::atomic<bool> lost{false};
  bool overflows = true;

  static void* Main(void* argument) {
    auto* const self = static_cast<Thread*>(argument);
    const OsThreadStack stack([](void* thread) { static_cast<Thread*>(thread)->lost = true; }, self);
    if (self->overflows) Recurse(0);
    return nullptr;
  }

  pthread_t Start() {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 << 10);
    pthread_attr_setguardsize(&attributes, OsThreadStack::kGuardBytes);
    pthread_t thread;
    EXPECT_EQ(pthread_create(&thread, &attributes, &Main, this), 0);
    pthread_attr_destroy(&attributes);
    return thread;
  }
};

class OsThreadStackTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (GREENRING_ASAN) GTEST_SKIP() << "the sanitizer's handler comes first";
    InstallStackOverflowHandler();
    alarms = 0;
    SetAbandonAlarm([] { ++alarms; });
  }
  void TearDown() override { SetAbandonAlarm(nullptr); }
};

TEST_F(OsThreadStackTest, AnOverflowCostsThatThreadAndItsOwnerIsTold) {
  static Thread threads[3];  // they sleep for ever
  for (Thread& thread : threads) {
    const pthread_t id = thread.Start();
    pthread_detach(id);
    for (int i = 0; i < 10'000 && !thread.lost.load(); ++i) usleep(1000);
    EXPECT_TRUE(thread.lost.load());
  }
  EXPECT_EQ(alarms.load(), 3);
}

TEST_F(OsThreadStackTest, WhoDoesNotOverflowEndsAsEver) {
  Thread thread{.overflows = false};
  pthread_join(thread.Start(), nullptr);
  EXPECT_FALSE(thread.lost.load());
  EXPECT_EQ(alarms.load(), 0);
}

TEST_F(OsThreadStackTest, AWrongPointerIsNoOverflow) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        InstallStackOverflowHandler();
        const OsThreadStack stack([](void*) { _exit(0); }, nullptr);
        *static_cast<volatile char*>(mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) = 1;
      },
      ::testing::KilledBySignal(SIGSEGV), "");
}

}  // namespace
}  // namespace greenring::green
