#include "tools/greenctl/socket_owner.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/greenctl/exit_code.h"

namespace greenring::greenctl {
namespace {

using testing::HasSubstr;

constexpr uid_t kAlice = 54321;
constexpr uid_t kMallory = 54322;

class SocketOwnerTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(mkdtemp(directory_), nullptr);
    listener_ = UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    path().copy(address.sun_path, sizeof(address.sun_path) - 1);
    ASSERT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    ASSERT_EQ(listen(listener_.get(), 1), 0);
  }
  void TearDown() override {
    unlink(path().c_str());
    unlink(link().c_str());
    rmdir(directory_);
  }

  std::string path() const { return absl::StrCat(directory_, "/socket"); }
  std::string link() const { return absl::StrCat(directory_, "/link"); }

  // Needs root, and users beside it: a sandbox may have neither.
  static bool GiveAway(const std::string& path, uid_t owner) { return lchown(path.c_str(), owner, 0) == 0; }

  char directory_[32] = "/tmp/greenctl-owner.XXXXXX";
  UniqueFd listener_;
};

TEST(SocketUserTest, ItsOwnerAndRootMayUseItAndRootsIsForAll) {
  EXPECT_TRUE(MayUse(kAlice, kAlice));
  EXPECT_TRUE(MayUse(0, kAlice));
  EXPECT_TRUE(MayUse(kAlice, 0));
  EXPECT_FALSE(MayUse(kMallory, kAlice));
}

TEST_F(SocketOwnerTest, ThisUsersOwnIsGood) {
  EXPECT_TRUE(CheckSocketFile(path(), geteuid()).ok());
  EXPECT_TRUE(CheckListener(path(), geteuid()).ok());
}

TEST_F(SocketOwnerTest, WhatIsNotThereIsTheCallsToTell) {
  EXPECT_TRUE(CheckSocketFile("/nowhere/socket", kAlice).ok());
  EXPECT_TRUE(CheckListener("/nowhere/socket", kAlice).ok());
}

TEST_F(SocketOwnerTest, AnothersIsRefusedByItsFileAndRootMayUseIt) {
  if (!GiveAway(path(), kMallory)) GTEST_SKIP() << "files cannot be given away here";
  const absl::Status status = CheckSocketFile(path(), kAlice);
  EXPECT_EQ(ExitCodeOf(status), kExitRefused);
  EXPECT_THAT(status.message(), HasSubstr(path()));
  EXPECT_THAT(status.message(), HasSubstr("nothing was sent"));
  EXPECT_THAT(HintOf(status), HasSubstr("--control=unix:PATH"));
  EXPECT_TRUE(CheckSocketFile(path(), 0).ok());
}

TEST_F(SocketOwnerTest, ALinkOfAnothersIsRefusedWhereverItLeads) {
  ASSERT_EQ(symlink(path().c_str(), link().c_str()), 0);
  if (!GiveAway(path(), kAlice)) GTEST_SKIP() << "files cannot be given away here";
  EXPECT_TRUE(CheckSocketFile(link(), kAlice).ok()) << "root's link to the own socket";
  ASSERT_TRUE(GiveAway(link(), kMallory));
  EXPECT_FALSE(CheckSocketFile(link(), kAlice).ok());
  ASSERT_TRUE(GiveAway(link(), kAlice));
  ASSERT_TRUE(GiveAway(path(), kMallory));
  EXPECT_FALSE(CheckSocketFile(link(), kAlice).ok()) << "the own link to another's socket";
}

TEST_F(SocketOwnerTest, AnotherWhoListensIsRefusedWhoeverHasTheFile) {
  uid_t listener = kMallory;
  ASSERT_EQ(TryToConnect(path(), &listener), 0);
  EXPECT_EQ(listener, geteuid());
  if (seteuid(kMallory) != 0) GTEST_SKIP() << "there are no other users here";
  ASSERT_EQ(listen(listener_.get(), 1), 0);  // the kernel takes down who listens
  ASSERT_EQ(seteuid(0), 0);
  EXPECT_EQ(ExitCodeOf(CheckListener(path(), kAlice)), kExitRefused);
  EXPECT_TRUE(CheckListener(path(), 0).ok());
}

}  // namespace
}  // namespace greenring::greenctl
