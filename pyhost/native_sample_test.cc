#include "pyhost/native_sample.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>

#include "base/clock.h"
#include "green/scheduler.h"
#include "gtest/gtest.h"
#include "pyhost/code_place.h"
#include "testing/sim_clock.h"
#include "testing/sim_poller.h"

namespace greenring::pyhost {
namespace {

// Of the thread that runs `work`, as soon as it is in `state`; `done` ends the work.
class NativeSampleTest : public ::testing::Test {
 protected:
  NativeSample SampleOf(NativeSample::State state, const std::function<void()>& work) {
    std::atomic<NativeSampler*> sampler{nullptr};
    std::atomic<bool> sampled{false};
    std::thread thread([&] {
      NativeSampler own;
      sampler.store(&own);
      work();
      while (!sampled) std::this_thread::yield();
    });
    while (sampler.load() == nullptr) std::this_thread::yield();
    NativeSample sample;
    do {
      sample = sampler.load()->Take();
    } while (sample.state != state);
    again_ = sampler.load()->Look();
    cpu_ns_ = sampler.load()->CpuTimeNs();
    done = true;
    sampled = true;
    thread.join();
    return sample;
  }

  std::atomic<bool> done{false};
  NativeSample again_;
  int64_t cpu_ns_ = 0;
};

TEST_F(NativeSampleTest, ABlockedThreadIsInItsSystemCallAndIsNotDisturbed) {
  int result = -1;
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  std::thread ender([&] {
    while (!done) std::this_thread::yield();
    EXPECT_EQ(write(pipe[1], "x", 1), 1);
  });
  const NativeSample sample = SampleOf(NativeSample::State::kInSystemCall, [&] {
    char byte;
    result = static_cast<int>(syscall(SYS_read, pipe[0], &byte, 1));
  });
  ender.join();
  EXPECT_EQ(sample.system_call, SYS_read);
  EXPECT_EQ(SystemCallName(sample.system_call), "read");
  EXPECT_NE(sample.program_counter, 0u);
  EXPECT_FALSE(sample.stack_words.empty());
  EXPECT_TRUE(again_.IsSameWait(sample));
  EXPECT_EQ(result, 1);
  close(pipe[0]);
  close(pipe[1]);
}

TEST_F(NativeSampleTest, AGreenThreadThatComputesTellsWhereItIs) {
  testing::SimClock clock;
  testing::SimPoller poller(&clock);
  const NativeSample sample = SampleOf(NativeSample::State::kComputing, [&] {
    green::Scheduler scheduler({.stack_size_bytes = 256 * 1024, .clock = &clock});
    scheduler.Spawn([&] {
      while (!done) {
      }
      scheduler.Stop();
    });
    scheduler.Run(&poller);
  });
  EXPECT_NE(sample.program_counter, 0u);
  EXPECT_GT(cpu_ns_, 0);
  EXPECT_FALSE(again_.IsSameWait(sample));
}

TEST(CodePlaceTest, AnUnknownSystemCallIsANumber) {
  EXPECT_EQ(SystemCallName(SYS_nanosleep), "nanosleep");
  EXPECT_EQ(SystemCallName(9999), "system call 9999");
}

TEST(CodePlaceTest, ASampleWithoutAnAddressIsNowhere) {
  const CodePlace place = Locate({});
  EXPECT_EQ(place.library, "");
  EXPECT_EQ(place.function, "");
}

}  // namespace
}  // namespace greenring::pyhost
