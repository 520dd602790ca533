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

TEST_P(StackSlabTest, AddressInReserveOrGuardFindsItsStackAndOnlyThat) {
  StackSlab slab(kStackSizeBytesMin, GetParam());
  std::vector<Stack> stacks;
  for (size_t i = 0; i < 2 * StackSlab::kStacksPerChunk; ++i) stacks.push_back(*slab.Allocate());
  for (const Stack& stack : stacks) {
    Stack found;
    StackSlab::Guard guard;
    for (const std::byte* address : {stack.base - 1, stack.reserve_base(), stack.reserve_base() - kGuardBytes}) {
      ASSERT_TRUE(StackSlab::FindGuarded(address, &found, &guard));
      EXPECT_EQ(found.base, stack.base);
      EXPECT_EQ(found.size_bytes, stack.size_bytes);
      EXPECT_EQ(guard, GetParam());
    }
    EXPECT_FALSE(StackSlab::FindGuarded(stack.base, &found, &guard));
    EXPECT_FALSE(StackSlab::FindGuarded(stack.top() - 1, &found, &guard));
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
  StackSlab::Guard guard;
  EXPECT_FALSE(StackSlab::FindGuarded(address, &found, &guard));
}

void Touch(std::byte* address) { *reinterpret_cast<volatile std::byte*>(address) = std::byte{1}; }

TEST_P(StackSlabTest, ReserveOpensStageByStageAndFaultsAgainWhenClosed) {
  StackSlab slab(kStackSizeBytesMin, GetParam());
  Stack stack = *slab.Allocate();
  for (int round = 0; round < 3; ++round) {
    EXPECT_DEATH(Touch(stack.base - 1), "");
    ASSERT_TRUE(StackSlab::OpenReserve(stack, GetParam(), stack.base - 1));
    Touch(stack.base - 1);
    Touch(stack.base - kReserveStageBytes);
    EXPECT_DEATH(Touch(stack.base - kReserveStageBytes - 1), "");
    // A frame may be larger than a stage.
    ASSERT_TRUE(StackSlab::OpenReserve(stack, GetParam(), stack.reserve_base()));
    Touch(stack.base - kReserveStageBytes - 1);
    Touch(stack.reserve_base());
    EXPECT_EQ(static_cast<int>(stack.base[-1]), 1) << "what was open keeps its contents";
    EXPECT_DEATH(Touch(stack.reserve_base() - 1), "");
    slab.CloseReserve(stack);
  }
  EXPECT_DEATH(Touch(stack.base - 1), "");
  slab.Free(stack);
}

TEST_P(StackSlabTest, LentPartOfTheGuardEndsBeforeTheNeighbour) {
  StackSlab slab(kStackSizeBytesMin, GetParam());
  Stack stack = *slab.Allocate();
  ASSERT_TRUE(StackSlab::LendGuard(stack, GetParam()));
  Touch(stack.reserve_base() - 1);
  Touch(stack.reserve_base() - kGuardLentBytes);
  EXPECT_DEATH(Touch(stack.reserve_base() - kGuardLentBytes - 1), "");
  slab.Abandon(stack);
}

TEST_P(StackSlabTest, AbandonedStackIsNeverAllocatedAgainAndStaysReadable) {
  std::byte* lost;
  {
    StackSlab slab(kStackSizeBytesMin, GetParam());
    Stack stack = *slab.Allocate();
    lost = stack.base;
    Touch(lost);
    slab.Abandon(stack);
    std::vector<Stack> others;
    for (size_t i = 0; i < 2 * StackSlab::kStacksPerChunk; ++i) others.push_back(*slab.Allocate());
    for (const Stack& other : others) {
      EXPECT_NE(other.base, lost);
      slab.Free(other);
    }
  }
  EXPECT_EQ(static_cast<int>(*lost), 1);
}

TEST_P(StackSlabTest, ReportHoldsTheDeepestUseOfAllStacksAlsoOfThoseTrimmedAndFreed) {
  StackSlab slab(256 * 1024, GetParam());
  Stack deep = *slab.Allocate();
  Stack shallow = *slab.Allocate();
  EXPECT_EQ(slab.Report().deepest_bytes, 0u);
  EXPECT_EQ(slab.Report().recommended_bytes, 64u * 1024);
  for (size_t depth = 4096; depth <= 100 * 1024; depth += 4096) Touch(deep.top() - depth);
  slab.Trim(deep);
  slab.Free(deep);
  Touch(shallow.top() - 4096);
  EXPECT_EQ(slab.Report().deepest_bytes, 100u * 1024);
  EXPECT_EQ(slab.Report().recommended_bytes, 192u * 1024);
  EXPECT_EQ(slab.Report().size_bytes, 256u * 1024);
  EXPECT_EQ(slab.Report().overflows, 0u);
  slab.Free(shallow);
}

TEST_P(StackSlabTest, ReportAfterAnOverflowHasTheUseOfTheReserveAndRecommendsTwiceTheSize) {
  StackSlab slab(256 * 1024, GetParam());
  Stack stack = *slab.Allocate();
  ASSERT_TRUE(StackSlab::OpenReserve(stack, GetParam(), stack.base - 1));
  Touch(stack.base - 5000);
  slab.CloseReserve(stack);
  EXPECT_EQ(slab.Report().deepest_bytes, 264u * 1024);
  EXPECT_EQ(slab.Report().overflows, 1u);
  EXPECT_EQ(slab.Report().recommended_bytes, 512u * 1024);
  slab.Free(stack);
}

TEST_P(StackSlabTest, LookingForUseDoesNotCountAsUse) {
  StackSlab slab(256 * 1024, GetParam());
  Stack stack = *slab.Allocate();
  Touch(stack.top() - 8);
  slab.Trim(stack);
  EXPECT_EQ(slab.WatermarkBytes(stack), StackSlab::page_size_bytes());
  slab.Free(stack);
}

TEST(StackRecommendationTest, IsHalfAsMuchAgainInRoundSizes) {
  EXPECT_EQ(RecommendedStackBytes(0, 0), 64u << 10);
  EXPECT_EQ(RecommendedStackBytes(42 << 10, 0), 64u << 10);
  EXPECT_EQ(RecommendedStackBytes(44 << 10, 0), 96u << 10);
  EXPECT_EQ(RecommendedStackBytes(68 << 10, 0), 128u << 10);
  EXPECT_EQ(RecommendedStackBytes(200 << 10, 0), 384u << 10);
  EXPECT_EQ(RecommendedStackBytes(64 << 10, 64 << 10), 128u << 10);
  EXPECT_EQ(RecommendedStackBytes(352 << 10, 256 << 10), 768u << 10);
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
