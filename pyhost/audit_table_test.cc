#include "pyhost/audit_table.h"

#include <string>
#include <vector>

#include "base/clock.h"
#include "gtest/gtest.h"

namespace greenring::pyhost {
namespace {

constexpr int64_t kMs = kNanosecondsPerMillisecond;

AuditFinding Sleep(const std::string& python_stack) {
  return {.cause = AuditFinding::Cause::kSystemCall,
          .system_call = "nanosleep",
          .library = "/lib/slow.so",
          .function = "doze",
          .python_stack = python_stack};
}

TEST(AuditTableTest, NothingFoundIsGreenSafe) {
  EXPECT_EQ(AuditTable().Report(10 * kMs), "audit: green-safe so far: nothing blocked the loop for 10 ms");
}

TEST(AuditTableTest, TheSameInnermostLineIsOneFindingWhateverCalledIt) {
  AuditTable table;
  table.Add(Sleep("  outer\n  inner\n"), 20 * kMs);
  table.Add(Sleep("  another\n  inner\n"), 30 * kMs);
  const std::vector<AuditFinding> findings = table.Findings();
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].count, 2u);
  EXPECT_EQ(findings[0].total_ns, 50 * kMs);
  EXPECT_EQ(findings[0].longest_ns, 30 * kMs);
  EXPECT_EQ(findings[0].python_stack, "  outer\n  inner\n");
  EXPECT_EQ(findings[0].PythonLine(), "inner");
}

TEST(AuditTableTest, WhatDiffersInOneThingIsAnother) {
  AuditTable table;
  const AuditFinding sleep = Sleep("  inner\n");
  std::vector<AuditFinding> findings(6, sleep);
  findings[1].cause = AuditFinding::Cause::kPageFault;
  findings[2].gil_held = true;
  findings[3].system_call = "flock";
  findings[4].library = "/lib/other.so";
  findings[5].function = "nap";
  for (const AuditFinding& finding : findings) table.Add(finding, kMs);
  table.Add(Sleep("  other line\n"), kMs);
  EXPECT_EQ(table.Findings().size(), 7u);
}

TEST(AuditTableTest, WhatTookMostInAllComesFirst) {
  AuditTable table;
  table.Add(Sleep("  a\n"), 30 * kMs);
  for (int i = 0; i < 2; ++i) table.Add(Sleep("  b\n"), 20 * kMs);
  EXPECT_EQ(table.Findings()[0].PythonLine(), "b");
  EXPECT_EQ(table.Report(10 * kMs),
            "audit: the loop was blocked for 10 ms and more, at 2 places:\n"
            "  2 times, 40 ms in all, 20 ms at most: system call nanosleep without the GIL, in /lib/slow.so, doze\n"
            "  b\n"
            "  1 times, 30 ms in all, 30 ms at most: system call nanosleep without the GIL, in /lib/slow.so, doze\n"
            "  a");
}

TEST(AuditTableTest, BeyondItsSizePlacesAreCountedOnly) {
  AuditTable table;
  for (size_t i = 0; i < AuditTable::kFindingsMax + 3; ++i) table.Add(Sleep(std::to_string(i) + "\n"), kMs);
  table.Add(Sleep("0\n"), kMs);
  EXPECT_EQ(table.Findings().size(), AuditTable::kFindingsMax);
  EXPECT_EQ(table.Findings()[0].count, 2u);
  const std::string report = table.Report(kMs);
  EXPECT_EQ(report.substr(report.rfind('\n')), "\n  3 times at other places");
}

TEST(AuditTableTest, NoPythonCodeIsNoLine) { EXPECT_EQ(Sleep("").PythonLine(), ""); }

}  // namespace
}  // namespace greenring::pyhost
