#include "green/stack_slab.h"

#include <cstring>
#include <vector>

#include "gtest/gtest.h"

namespace greenring::green {
namespace {

class StackSlabTest : public ::testing::TestWithParam<StackSlab::Guard> {};

TEST_P(StackSlabTest, AllocatesWritableStacksOfTheRoundedSize) {
  StackSlab slab(100 * 1000, GetParam());
  const size_t page = StackSlab::page_size_bytes();
  EXPECT_EQ(slab.stack_size_bytes(), (100 * 1000 + page - 1) / page * page);
  Stack stack = *slab.Allocate();
  EXPECT_EQ(stack.size_bytes, slab.stack_size_bytes());
  std::memset(stack.base, 1, stack.size_bytes);
  slab.Free(stack);
}

TEST_P(StackSlabTest, FreedStackIsTheNextAllocated) {
  StackSlab slab(kStackSizeBytesMin, GetParam());
  Stack first = *slab.Allocate();
  Stack second = *slab.Allocate();
  slab.Free(first);
  EXPECT_EQ(slab.Allocate()->base, first.base);
  slab.Free(first);
  slab.Free(second);
  EXPECT_EQ(slab.live_count(), 0u);
}

TEST_P(StackSlabTest, GuardAddressFindsItsStackAndOnlyIts) {
  StackSlab slab(kStackSizeBytesMin, GetParam());
  std::vector<Stack> stacks;
  for (size_t i = 0; i < 2 * StackSlab::kStacksPerChunk; ++i) stacks.push_back(*slab.Allocate());
  for (const Stack& stack : stacks) {
    Stack found;
    ASSERT_TRUE(StackSlab::FindStackByGuardAddress(stack.base - 1, &found));
    EXPECT_EQ(found.base, stack.base);
    EXPECT_EQ(found.size_bytes, stack.size_bytes);
    EXPECT_TRUE(StackSlab::FindStackByGuardAddress(stack.base - StackSlab::page_size_bytes(), &found));
    EXPECT_EQ(found.base, stack.base);
    EXPECT_FALSE(StackSlab::FindStackByGuardAddress(stack.base, &found));
    EXPECT_FALSE(StackSlab::FindStackByGuardAddress(stack.top() - 1, &found));
    slab.Free(stack);
  }
}

TEST_P(StackSlabTest, AddressesOfUnmappedSlabsAreForgotten) {
  const void* address;
  {
    StackSlab slab(kStackSizeBytesMin, GetParam());
    Stack stack = *slab.Allocate();
    address = stack.base - 1;
    slab.Free(stack);
  }
  Stack found;
  EXPECT_FALSE(StackSlab::FindStackByGuardAddress(address, &found));
}

TEST_P(StackSlabTest, WatermarkFollowsUseAndTrimGivesDeepPagesBack) {
  StackSlab slab(256 * 1024, GetParam());
  const size_t page = StackSlab::page_size_bytes();
  Stack stack = *slab.Allocate();
  EXPECT_EQ(slab.WatermarkBytes(stack), 0u);
  std::memset(stack.top() - 2 * page, 1, 2 * page);
  EXPECT_EQ(slab.WatermarkBytes(stack), 2 * page);
  std::memset(stack.top() - 200 * 1024, 1, 200 * 1024);
  EXPECT_EQ(slab.WatermarkBytes(stack), 200u * 1024);
  slab.Trim(stack);
  EXPECT_EQ(slab.WatermarkBytes(stack), StackSlab::kTrimKeepBytes);
  EXPECT_EQ(static_cast<int>(stack.top()[-1]), 1) << "the kept part keeps its contents";
  slab.Free(stack);
}

TEST_P(StackSlabTest, TrimLeavesShallowStacksAlone) {
  StackSlab slab(256 * 1024, GetParam());
  Stack stack = *slab.Allocate();
  std::memset(stack.top() - 8192, 1, 8192);
  slab.Trim(stack);
  EXPECT_EQ(static_cast<int>(stack.top()[-8192]), 1);
  slab.Free(stack);
}

TEST_P(StackSlabTest, ReserveMapsAheadAndCountsFreeStacks) {
  StackSlab slab(kStackSizeBytesMin, GetParam());
  EXPECT_TRUE(slab.Reserve(200).ok());
  EXPECT_EQ(slab.live_count(), 0u);
}

TEST_P(StackSlabTest, TouchOfTheGuardPageFaults) {
  StackSlab slab(kStackSizeBytesMin, GetParam());
  Stack stack = *slab.Allocate();
  EXPECT_DEATH(*reinterpret_cast<volatile char*>(stack.base - 1) = 1, "");
  slab.Free(stack);
}

INSTANTIATE_TEST_SUITE_P(Guards, StackSlabTest,
                         ::testing::Values(StackSlab::Guard::kMadvise, StackSlab::Guard::kMprotect),
                         [](const auto& info) {
                           return info.param == StackSlab::Guard::kMadvise ? "madvise" : "mprotect";
                         });

}  // namespace
}  // namespace greenring::green
