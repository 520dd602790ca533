#include "control/cpu_affinity.h"

#include "gtest/gtest.h"

namespace greenring::control {
namespace {

TEST(CpuAffinityTest, NoneIsAnywhere) { EXPECT_TRUE(CpusOf({}, 1, {0, 1}).empty()); }

TEST(CpuAffinityTest, SpreadTakesTheServersInTurn) {
  v1::CpuAffinity affinity;
  affinity.set_policy(v1::CpuAffinity::SPREAD);
  EXPECT_EQ(CpusOf(affinity, 1, {4, 6}), std::vector<int>{4});
  EXPECT_EQ(CpusOf(affinity, 2, {4, 6}), std::vector<int>{6});
  EXPECT_EQ(CpusOf(affinity, 3, {4, 6}), std::vector<int>{4});
}

TEST(CpuAffinityTest, AListIsTakenInTurn) {
  v1::CpuAffinity affinity;
  affinity.set_policy(v1::CpuAffinity::LIST);
  affinity.add_cpus("0-2");
  affinity.add_cpus("5,7");
  EXPECT_EQ(CpusOf(affinity, 1, {}), (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(CpusOf(affinity, 2, {}), (std::vector<int>{5, 7}));
  EXPECT_EQ(CpusOf(affinity, 3, {}), (std::vector<int>{0, 1, 2}));
}

TEST(CpuAffinityTest, TheServerMayRunSomewhere) { EXPECT_FALSE(AvailableCpus().empty()); }

}  // namespace
}  // namespace greenring::control
