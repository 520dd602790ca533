// A hundred thousand green threads at once: each with its guard page, none with more than two pages of memory.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/sanitizers.h"
#include "base/unique_fd.h"
#include "green/scheduler.h"
#include "gtest/gtest.h"

namespace greenring::green {
namespace {

constexpr size_t kGreenThreads = 100'000;
constexpr size_t kResidentBytesMax = 8 * 1024;

size_t ResidentBytes() {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> statm(std::fopen("/proc/self/statm", "r"), &std::fclose);
  size_t total_pages = 0, resident_pages = 0;
  EXPECT_NE(statm, nullptr);
  EXPECT_EQ(std::fscanf(statm.get(), "%zu %zu", &total_pages, &resident_pages), 2);
  return resident_pages * StackSlab::page_size_bytes();
}

class ParkedMemoryTest : public ::testing::TestWithParam<Engine> {
 protected:
  // Asks the kernel to write one byte there, which fails instead of faulting.
  bool KernelCanWrite(std::byte* address) {
    const ssize_t count = read(zeros_.get(), address, 1);
    if (count < 0) {
      EXPECT_EQ(errno, EFAULT);
    }
    return count == 1;
  }

  UniqueFd zeros_{open("/dev/zero", O_RDONLY | O_CLOEXEC)};
};

TEST_P(ParkedMemoryTest, HundredThousandParkedGreenThreadsHaveGuardPagesAndTwoPagesOfMemoryAtMost) {
  if (GREENRING_ASAN || GREENRING_TSAN) GTEST_SKIP() << "the sanitizer's shadow memory would be measured";
  Scheduler scheduler({.engine = GetParam()});
  if (scheduler.slab()->guard() == StackSlab::Guard::kMprotect) {
    GTEST_SKIP() << "no MADV_GUARD_INSTALL (Linux 6.13): vm.max_map_count does not allow so many guard pages";
  }
  ASSERT_TRUE(zeros_.valid());

  const size_t before_bytes = ResidentBytes();
  size_t woken = 0;
  std::vector<GreenThread*> parked;
  for (size_t i = 0; i < kGreenThreads; ++i) {
    parked.push_back(scheduler.Spawn([&] {
      scheduler.Park();
      ++woken;
    }));
  }
  while (parked.back()->state() != GreenThread::State::kParked) scheduler.RunReady();
  EXPECT_EQ(scheduler.stats().live, kGreenThreads);
  const size_t each_bytes = (ResidentBytes() - before_bytes) / kGreenThreads;
  RecordProperty("resident_bytes_each", std::to_string(each_bytes));
  EXPECT_LE(each_bytes, kResidentBytesMax);

  for (GreenThread* thread : parked) {
    ASSERT_EQ(thread->state(), GreenThread::State::kParked);
    ASSERT_FALSE(KernelCanWrite(thread->stack().base - 1)) << "no guard page below green thread " << thread->id();
  }
  EXPECT_TRUE(KernelCanWrite(parked[0]->stack().base)) << "the stack itself";

  for (GreenThread* thread : parked) scheduler.Unpark(thread);
  while (scheduler.stats().live > 0) scheduler.RunReady();
  EXPECT_EQ(woken, kGreenThreads);
}

INSTANTIATE_TEST_SUITE_P(Engines, ParkedMemoryTest, ::testing::Values(Engine::kUcontext, Engine::kFcontext),
                         [](const auto& info) { return std::string(EngineName(info.param)); });

}  // namespace
}  // namespace greenring::green
