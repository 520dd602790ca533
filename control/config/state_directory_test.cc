#include "control/config/state_directory.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

class StateDirectoryTest : public testing::Test {
 protected:
  StateDirectoryTest() {
    char name[] = "/tmp/greenring_state_XXXXXX";
    parent_ = mkdtemp(name);
    path_ = parent_ + "/state";
    file_ = path_ + "/state.textproto";
  }
  ~StateDirectoryTest() override {
    chmod(path_.c_str(), 0700);
    std::filesystem::remove_all(parent_);
  }

  std::unique_ptr<StateDirectory> Open() {
    absl::StatusOr<std::unique_ptr<StateDirectory>> state = StateDirectory::Open(path_);
    EXPECT_TRUE(state.ok()) << std::string(state.status().message());
    return state.ok() ? *std::move(state) : nullptr;
  }

  static v1::Configuration ConfigurationOf(int workers) {
    v1::Configuration configuration;
    v1::Pool* pool = configuration.add_pools();
    pool->set_name("pools/web");
    pool->mutable_application()->set_target("shop:app");
    (*pool->mutable_application()->mutable_environment())["NAME"] = "caf\xc3\xa9 \"x\"\n";
    pool->set_workers(workers);
    pool->set_generation(7);
    pool->set_drained(true);
    return configuration;
  }

  std::string Text() const {
    std::ifstream file(file_);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  void Write(const std::string& text) const { std::ofstream(file_) << text; }

  std::string parent_;
  std::string path_;
  std::string file_;
};

TEST_F(StateDirectoryTest, TheFirstStartFindsNothing) {
  const auto state = Open();
  const auto kept = state->Load();
  ASSERT_TRUE(kept.ok());
  EXPECT_FALSE(kept->has_value());
  struct stat info;
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(StateDirectoryTest, WhatWasSavedLastIsLoadedByTheNext) {
  ASSERT_TRUE(Open()->Save(ConfigurationOf(2)).ok());
  const auto state = Open();
  ASSERT_TRUE(state->Save(ConfigurationOf(3)).ok());
  const auto kept = state->Load();
  ASSERT_TRUE(kept.ok()) << std::string(kept.status().message());
  ASSERT_TRUE(kept->has_value());
  const v1::Pool& pool = (*kept)->pools(0);
  EXPECT_EQ(pool.workers(), 3);
  EXPECT_EQ(pool.generation(), 7);
  EXPECT_TRUE(pool.drained());
  EXPECT_EQ(pool.application().environment().at("NAME"), "caf\xc3\xa9 \"x\"\n");
  EXPECT_EQ(pool.async_cores(), 256) << "defaults are filled in";
  struct stat info;
  ASSERT_EQ(stat(file_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u) << "environments hold secrets";
  EXPECT_FALSE(std::filesystem::exists(file_ + ".new"));
}

TEST_F(StateDirectoryTest, APoolThatWasDeletedMayHaveLeftItsAddressToAnother) {
  const auto state = Open();
  v1::Configuration configuration = ConfigurationOf(2);
  configuration.mutable_pools(0)->mutable_status()->set_state(v1::PoolStatus::DELETING);
  *configuration.add_pools() = configuration.pools(0);
  configuration.mutable_pools(1)->set_name("pools/next");
  ASSERT_TRUE(state->Save(configuration).ok());
  const auto kept = state->Load();
  ASSERT_TRUE(kept.ok()) << std::string(kept.status().message());
  EXPECT_EQ((*kept)->pools(0).status().state(), v1::PoolStatus::DELETING);
}

TEST_F(StateDirectoryTest, OneServerHasIt) {
  auto first = Open();
  EXPECT_TRUE(absl::IsFailedPrecondition(StateDirectory::Open(path_).status()));
  first.reset();
  EXPECT_TRUE(StateDirectory::Open(path_).ok());
}

TEST_F(StateDirectoryTest, ACorruptFileIsRefusedWithItsLineAndLeftAsItIs) {
  const auto state = Open();
  ASSERT_TRUE(state->Save(ConfigurationOf(2)).ok());
  const std::string right = Text();
  std::string invalid = right;
  invalid.replace(invalid.find("workers: 2"), 10, "workers: -9");
  const std::pair<std::string, std::string> cases[] = {
      {"", ":1: does not begin with \"# greenring state, version 1\""},
      {std::string(100, '\0'), ":1: does not begin with"},
      {"# greenring state, version 2\n", "of another version"},
      {right.substr(0, right.find("pools")), ": does not end with \"# end\""},
      {right.substr(0, right.size() - 6), ": does not end with \"# end\""},
      {right.substr(0, right.find("workers")), file_ + ":"},
      {right + "nonsense {\n", file_ + ":"},
      {right + "\xff", file_ + ":"},
      {invalid, ": pools[0].workers: must be from 1 to 1024, not -9"},
      {right + std::string(5 << 20, '#'), "is too large"},
  };
  for (const auto& [text, what] : cases) {
    Write(text);
    const auto kept = state->Load();
    EXPECT_TRUE(absl::IsDataLoss(kept.status())) << what;
    const std::string message(kept.status().message());
    EXPECT_TRUE(absl::StrContains(message, what)) << message;
    EXPECT_TRUE(absl::StrContains(message, absl::StrCat("move it away: ", file_))) << message;
    EXPECT_EQ(Text(), text);
  }
}

TEST_F(StateDirectoryTest, AFullDiskLeavesTheOldState) {
  const auto state = Open();
  ASSERT_TRUE(state->Save(ConfigurationOf(2)).ok());
  const std::string before = Text();
  v1::Configuration large = ConfigurationOf(3);
  large.mutable_pools(0)->mutable_application()->set_target(std::string(10'000, 'x'));
  rlimit old_limit;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  signal(SIGXFSZ, SIG_IGN);
  const rlimit limit = {4096, old_limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  const absl::Status status = state->Save(large);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old_limit), 0);
  EXPECT_FALSE(status.ok());
  EXPECT_TRUE(absl::StrContains(std::string(status.message()), file_ + ".new")) << std::string(status.message());
  EXPECT_EQ(Text(), before);
  EXPECT_FALSE(std::filesystem::exists(file_ + ".new"));
  EXPECT_TRUE(state->Save(large).ok());
}

TEST_F(StateDirectoryTest, AFileThatCannotBeReplacedIsAnErrorAndStays) {
  const auto state = Open();
  ASSERT_TRUE(state->Save(ConfigurationOf(2)).ok());
  // Root may write to every directory; what stands in the way of it, too, is a directory of the new file's name.
  std::filesystem::create_directory(file_ + ".new");
  EXPECT_FALSE(state->Save(ConfigurationOf(3)).ok());
  EXPECT_EQ((*state->Load())->pools(0).workers(), 2);
  std::filesystem::remove(file_ + ".new");
  if (geteuid() != 0) {
    chmod(path_.c_str(), 0500);
    EXPECT_TRUE(absl::IsPermissionDenied(state->Save(ConfigurationOf(3))));
    EXPECT_EQ((*state->Load())->pools(0).workers(), 2);
  }
}

TEST_F(StateDirectoryTest, ADirectoryThatCannotBeMadeIsNamed) {
  std::ofstream(path_) << "a file";
  const absl::Status status = StateDirectory::Open(path_).status();
  EXPECT_FALSE(status.ok());
  EXPECT_TRUE(absl::StrContains(std::string(status.message()), path_)) << std::string(status.message());
}

}  // namespace
}  // namespace greenring::control
