#include "tools/greenctl/table.h"

#include <gtest/gtest.h>

#include <sstream>

namespace greenring::greenctl {
namespace {

std::string Print(const Table& table, int width = 0) {
  std::ostringstream out;
  table.Print(out, width);
  return out.str();
}

TEST(TableTest, AlignsColumnsAndLeavesNothingBehindTheLast) {
  Table table({{"NAME"}, {"CORES", Table::kRight}, {"STATE"}});
  table.Add({"web", "12/512", "READY"});
  table.Add({"background", "0/8", "STARTING"});
  EXPECT_EQ(Print(table),
            "NAME         CORES  STATE\n"
            "web         12/512  READY\n"
            "background     0/8  STARTING\n");
}

TEST(TableTest, ShowsAnEmptyCellAsADash) {
  Table table({{"A"}, {"B"}});
  table.Add({"", "x"});
  EXPECT_EQ(Print(table), "A  B\n-  x\n");
}

TEST(TableTest, CutsLinesOnlyForATerminal) {
  Table table({{"PATH"}});
  table.Add({"/a/long/path"});
  EXPECT_EQ(Print(table, 6), "PATH\n/a/lo…\n");
  EXPECT_EQ(Print(table), "PATH\n/a/long/path\n");
}

TEST(TableTest, CountsCharactersAndNotBytes) {
  Table table({{"A"}, {"B"}});
  table.Add({"äö", "x"});
  table.Add({"abc", "y"});
  EXPECT_EQ(Print(table), "A    B\näö   x\nabc  y\n");
}

TEST(TableTest, NoCellCanWriteToTheTerminal) {
  Table table({{"A"}});
  table.Add({"\x1b[31m"});
  EXPECT_EQ(Print(table), "A\n\\x1b[31m\n");
}

}  // namespace
}  // namespace greenring::greenctl
