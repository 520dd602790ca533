#include "green/stack_overflow.h"

#include <csignal>
#include <cstdlib>

#include "base/sanitizers.h"
#include "green/scheduler.h"
#include "gtest/gtest.h"

namespace greenring::green {
namespace {

class NullPoller : public Poller {
 public:
  void Poll(int64_t) override {}
  void Wake() override {}
};

// Not a tail call, and not to be optimised into a loop; `levels` is more than any stack holds.
__attribute__((noinline)) int Recurse(int levels) {
  volatile char frame[256];
  frame[0] = static_cast<char>(levels);
  return levels == 0 ? 0 : Recurse(levels - 1) + frame[0];
}

class StackOverflowTest : public ::testing::TestWithParam<Engine> {};

TEST_P(StackOverflowTest, ReportNamesTheGreenThreadItsStackAndTheRemedyBeforeTheProcessDies) {
  EXPECT_DEATH(
      {
        InstallStackOverflowHandler();
        StackOverflowSignalStack signal_stack;
        Scheduler scheduler({.engine = GetParam(), .stack_size_bytes = 64 * 1024});
        NullPoller poller;
        scheduler.Spawn([] { std::exit(Recurse(100'000'000)); }, {.name = "deep"});
        scheduler.Run(&poller);
      },
      "stack overflow: green thread 1 \\(deep\\) needed more than its 64 KiB of stack \\(16 pages\\)"
      "(.|\n)*raise --stack_size");
}

TEST_P(StackOverflowTest, OtherFaultsStillEndTheProcessWithoutThatReport) {
  if (GREENRING_ASAN || GREENRING_TSAN) GTEST_SKIP() << "the sanitizer reports them";
  EXPECT_EXIT(
      {
        InstallStackOverflowHandler();
        StackOverflowSignalStack signal_stack;
        std::raise(SIGSEGV);
      },
      ::testing::KilledBySignal(SIGSEGV), "^$");
}

INSTANTIATE_TEST_SUITE_P(Engines, StackOverflowTest, ::testing::Values(Engine::kUcontext, Engine::kFcontext),
                         [](const auto& info) { return std::string(EngineName(info.param)); });

}  // namespace
}  // namespace greenring::green
