#include "control/uwsgi/file_monitor.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "absl/status/statusor.h"
#include "control/sim_timers.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

class FileMonitorTest : public ::testing::Test {
 protected:
  FileMonitorTest() {
    std::string pattern = ::testing::TempDir() + "/monitor.XXXXXX";
    EXPECT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  void Write(const std::string& name) { std::ofstream(Path(name), std::ios::app) << "more\n"; }

  int Watch(const std::string& path) {
    const absl::StatusOr<int> id = monitor_.Add(path, [this] { ++changes_; });
    EXPECT_TRUE(id.ok()) << id.status();
    return id.value_or(0);
  }

  // How often it has told of changes since the last call.
  int Changes() {
    timers_.Advance(FileMonitor::kLookNs);
    return std::exchange(changes_, 0);
  }

  SimTimers timers_;
  FileMonitor monitor_{&timers_};
  std::string directory_;
  int changes_ = 0;
};

TEST_F(FileMonitorTest, AFileThatIsWrittenIsTold) {
  Write("a");
  Watch(Path("a"));
  EXPECT_EQ(Changes(), 0);
  Write("a");
  Write("a");
  EXPECT_EQ(Changes(), 1) << "once, however much happened";
  EXPECT_EQ(Changes(), 0);
  Write("a");
  EXPECT_EQ(Changes(), 1);
}

TEST_F(FileMonitorTest, OtherFilesOfItsDirectoryAreNotTold) {
  Watch(Path("a"));
  Write("b");
  EXPECT_EQ(Changes(), 0);
}

TEST_F(FileMonitorTest, AFileThatIsReplacedDeletedAndMadeAgainIsTold) {
  Write("a");
  Watch(Path("a"));
  Write("new");
  ASSERT_EQ(std::rename(Path("new").c_str(), Path("a").c_str()), 0);
  EXPECT_EQ(Changes(), 1);
  Write("a");
  EXPECT_EQ(Changes(), 1) << "the new one is watched";
  ASSERT_EQ(unlink(Path("a").c_str()), 0);
  EXPECT_EQ(Changes(), 1);
  Write("a");
  EXPECT_EQ(Changes(), 1);
}

TEST_F(FileMonitorTest, AFileThatIsNotThereYetIsTold) {
  Watch(Path("later"));
  Write("later");
  EXPECT_EQ(Changes(), 1);
}

TEST_F(FileMonitorTest, TheEntriesOfADirectoryAreTold) {
  ASSERT_EQ(mkdir(Path("d").c_str(), 0755), 0);
  Watch(Path("d/"));
  Write("d/a");
  EXPECT_EQ(Changes(), 1);
  Write("d/a");
  EXPECT_EQ(Changes(), 1);
  ASSERT_EQ(unlink(Path("d/a").c_str()), 0);
  EXPECT_EQ(Changes(), 1);
  ASSERT_EQ(rmdir(Path("d").c_str()), 0);
  EXPECT_EQ(Changes(), 1);
  ASSERT_EQ(mkdir(Path("d").c_str(), 0755), 0);
  EXPECT_EQ(Changes(), 1);
  Write("d/a");
  EXPECT_EQ(Changes(), 1) << "the new directory is watched";
}

TEST_F(FileMonitorTest, TwoMayWatchTheSame) {
  Watch(Path("a"));
  const int second = Watch(Path("a"));
  Write("a");
  EXPECT_EQ(Changes(), 2);
  monitor_.Remove(second);
  Write("a");
  EXPECT_EQ(Changes(), 1);
}

TEST_F(FileMonitorTest, WhatIsRemovedIsNotToldAndCostsNothing) {
  const int id = Watch(Path("a"));
  Write("a");
  monitor_.Remove(id);
  EXPECT_EQ(timers_.pending(), 0);
  EXPECT_EQ(Changes(), 0);
  Watch(Path("a"));
  Write("a");
  EXPECT_EQ(Changes(), 1);
}

TEST_F(FileMonitorTest, TheRootMayBeWatched) {
  const int id = Watch("//");
  EXPECT_EQ(timers_.pending(), 1);
  monitor_.Remove(id);
  EXPECT_EQ(timers_.pending(), 0);
}

TEST_F(FileMonitorTest, WhatCannotBeWatchedIsSaid) {
  EXPECT_TRUE(absl::IsInvalidArgument(monitor_.Add("relative", [] {}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(monitor_.Add("", [] {}).status()));
  EXPECT_TRUE(absl::IsNotFound(monitor_.Add(Path("missing/a"), [] {}).status()));
}

}  // namespace
}  // namespace greenring::control
