#include "pyhost/thread_dump.h"

#include <string>

#include "base/clock.h"
#include "gmock/gmock.h"
#include "green/lock_holders.h"
#include "green/scoped_wait.h"
#include "gtest/gtest.h"
#include "pyhost/python_test.h"

namespace greenring::pyhost {
namespace {

using green::LockHolders;
using green::ScopedWait;
using green::WaitNote;
using ::testing::HasSubstr;
using ::testing::Not;

size_t CountOf(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

class ThreadDumpTest : public PythonTest {
 protected:
  // Parks, as `note` says, until `done_`.
  void Await(const WaitNote& note) {
    const ScopedWait noted(scheduler_.current(), note);
    PyThreadState* const state = PyEval_SaveThread();
    while (!done_) scheduler_.Park(clock_.NowNs() + kNanosecondsPerSecond);
    PyEval_RestoreThread(state);
  }

  // What is dumped beside `count` green threads that wait so in the Python function `wait`.
  std::string DumpBeside(int count, const WaitNote& note) {
    std::string text;
    std::vector<std::function<void()>> functions(static_cast<size_t>(count), [this, note] { Await(note); });
    functions.push_back([&] {
      PyThreadState* const state = PyEval_SaveThread();
      scheduler_.Park(clock_.NowNs() + kNanosecondsPerSecond / 4);
      PyEval_RestoreThread(state);
      text = DumpThreads(scheduler_);
      outside_ = DumpThreadsFromOutside(scheduler_);
      done_ = true;
    });
    RunGreen(functions);
    return text;
  }

  bool done_ = false;
  std::string outside_;
};

TEST_F(ThreadDumpTest, SaysWhatAGreenThreadIsParkedIn) {
  const std::string text = DumpBeside(1, {.call = "recv", .fd = 1'000'000});
  EXPECT_EQ(text.substr(0, text.find('\n')), "2 green threads: 1 running, 0 runnable, 1 parked, 0 idle");
  EXPECT_THAT(text,
              HasSubstr("green thread 1 \"green\": parked 0.250 s in recv, fd 1000000 (closed), for 0.750 s more\n"
                        "  ran 0.000 s in 1 switches, stack "));
  EXPECT_THAT(text, Not(::testing::EndsWith("\n")));
  EXPECT_THAT(outside_, HasSubstr("parked 0.250 s in recv"));
}

TEST_F(ThreadDumpTest, CountsTheIdleOnly) {
  const std::string text = DumpBeside(3, {.call = "idle", .kind = WaitNote::Kind::kIdle});
  EXPECT_THAT(text, HasSubstr("0 parked, 3 idle"));
  EXPECT_THAT(text, Not(HasSubstr("in idle")));
}

TEST_F(ThreadDumpTest, NamesTheHolderOfALock) {
  int lock = 0;
  LockHolders::Acquired(&lock, LockHolders::OfOsThread(4711));
  const std::string text = DumpBeside(1, {.call = "sem_wait", .object = &lock, .kind = WaitNote::Kind::kLock});
  EXPECT_THAT(text, HasSubstr(" held by OS thread 4711"));
  LockHolders::Released(&lock);
}

TEST_F(ThreadDumpTest, ManyInOnePlaceShareABlock) {
  const int many = static_cast<int>(kSeparateBlocksMax) + 20;
  const std::string text = DumpBeside(many, {.call = "recv"});
  EXPECT_EQ(CountOf(text, "in recv"), 1u);
  EXPECT_THAT(text, HasSubstr("  and 119 more in the same place, from 0.250 s to 0.250 s: 2, 3, "));
}

TEST_F(ThreadDumpTest, AFewHaveABlockEach) { EXPECT_EQ(CountOf(DumpBeside(20, {.call = "recv"}), "in recv"), 20u); }

TEST_F(ThreadDumpTest, ADeadlockComesFirstWithBothSides) {
  int first = 0, second = 0;
  std::string text;
  const auto wait_for = [&](int* mine, int* others) {
    LockHolders::Acquired(mine, LockHolders::OfGreenThread(*scheduler_.current()));
    Await({.call = "sem_wait", .object = others, .kind = WaitNote::Kind::kLock});
    LockHolders::Released(mine);
  };
  RunGreen({[&] { wait_for(&first, &second); }, [&] { wait_for(&second, &first); },
            [&] {
              text = DumpThreads(scheduler_);
              done_ = true;
            }});
  EXPECT_THAT(text, HasSubstr("\n\nprobably a deadlock: 2 green threads wait for each other's locks\n"
                              "green thread 1 \"green\": parked "));
  EXPECT_THAT(text, HasSubstr("held by green thread 1, for"));
  EXPECT_THAT(text, HasSubstr("held by green thread 2, for"));
  EXPECT_LT(text.find("deadlock"), text.find("running 0.000 s"));
}

}  // namespace
}  // namespace greenring::pyhost
