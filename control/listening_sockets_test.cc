#include "control/listening_sockets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

v1::Listener At(const std::string& address) {
  v1::Listener listener;
  listener.set_address(address);
  listener.set_protocol(v1::Listener::HTTP);
  return listener;
}

// A client that has said something; invalid when it was refused.
UniqueFd Connect(const std::string& address) {
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(std::atoi(address.substr(address.rfind(':') + 1).c_str())));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)) != 0 || write(fd.get(), "x", 1) != 1) fd.Reset();
  return fd;
}

class ListeningSocketsTest : public ::testing::Test {
 protected:
  void Bind(const std::vector<v1::Listener>& listeners, int slots) {
    const absl::Status status = sockets_->Bind("pool", listeners, slots);
    ASSERT_TRUE(status.ok()) << status;
  }

  void BindFor(const std::string& owner, const std::string& address, int slots) {
    const absl::Status status = sockets_->Bind(owner, {At(address)}, slots);
    ASSERT_TRUE(status.ok()) << status;
  }

  void SetActive(const std::vector<int>& slots) { sockets_->SetActiveSlots("pool", slots, Readiness::kNow); }

  std::string AddressOf(int slot, size_t listener = 0) { return sockets_->Of("pool", slot).at(listener).address; }
  int FdOf(int slot, size_t listener = 0) { return sockets_->Of("pool", slot).at(listener).fd; }

  // "127.0.0.1:PORT", a port that nobody has now.
  std::string FreeAddress() {
    BindFor("nobody", "127.0.0.1:0", 1);
    const std::string address = sockets_->Of("nobody", 1)[0].address;
    sockets_->Close("nobody");
    return address;
  }

  // What waits in a slot's socket, which is accepted.
  int Waiting(const std::string& owner, int slot) {
    int count = 0;
    const int fd = sockets_->Of(owner, slot).at(0).fd;
    pollfd readable = {.fd = fd, .events = POLLIN, .revents = 0};
    for (; poll(&readable, 1, 0) > 0; ++count) UniqueFd(accept(fd, nullptr, nullptr));
    return count;
  }

  // Makes `count` connections; which owner got how many, in all its slots.
  std::map<std::string, int> SpreadOver(const std::string& address, int count) {
    std::vector<UniqueFd> clients;
    for (int i = 0; i < count; ++i) {
      clients.push_back(Connect(address));
      EXPECT_TRUE(clients.back().valid());
    }
    std::map<std::string, int> counts;
    for (const std::string owner : {"a", "b", "c"}) {
      for (int slot = 1; !sockets_->Of(owner, slot).empty(); ++slot) {
        if (const int waiting = Waiting(owner, slot); waiting > 0) counts[owner] += waiting;
      }
    }
    return counts;
  }

  // Makes `count` connections; which slot got how many.
  std::map<int, int> Spread(int count, int slots) {
    std::vector<UniqueFd> clients;
    for (int i = 0; i < count; ++i) {
      clients.push_back(Connect(AddressOf(1)));
      EXPECT_TRUE(clients.back().valid());
    }
    std::map<int, int> counts;
    for (int slot = 1; slot <= slots; ++slot) {
      if (const int waiting = Waiting("pool", slot); waiting > 0) counts[slot] = waiting;
    }
    return counts;
  }

  static int Sum(const std::map<int, int>& counts) {
    int sum = 0;
    for (const auto& [slot, count] : counts) sum += count;
    return sum;
  }

  std::unique_ptr<ListeningSockets> sockets_ = MakeListeningSockets();
};

TEST_F(ListeningSocketsTest, EverySlotHasItsOwnSocketOnTheSamePort) {
  Bind({At("127.0.0.1:0")}, 3);
  EXPECT_NE(FdOf(1), FdOf(2));
  EXPECT_NE(FdOf(2), FdOf(3));
  EXPECT_EQ(AddressOf(1), AddressOf(3));
  EXPECT_TRUE(sockets_->Of("pool", 4).empty());
  EXPECT_TRUE(sockets_->Of("another", 1).empty());
}

TEST_F(ListeningSocketsTest, ConnectionsGoToAllSlots) {
  Bind({At("127.0.0.1:0")}, 4);
  const std::map<int, int> counts = Spread(400, 4);
  EXPECT_EQ(Sum(counts), 400);
  for (const auto& [slot, count] : counts) EXPECT_GT(count, 50) << "slot " << slot;  // 100, by more than 5 sigma
}

TEST_F(ListeningSocketsTest, ConnectionsGoToActiveSlotsOnly) {
  Bind({At("127.0.0.1:0")}, 4);
  SetActive({2, 4});
  const std::map<int, int> counts = Spread(100, 4);
  EXPECT_EQ(Sum(counts), 100);
  EXPECT_EQ(counts.count(1) + counts.count(3), 0u);
  SetActive({3});
  EXPECT_EQ(Spread(50, 4), (std::map<int, int>{{3, 50}}));
  SetActive({});
  EXPECT_EQ(Spread(200, 4).size(), 4u);
}

TEST_F(ListeningSocketsTest, NewSlotsGetNothingUntilTheyAreActive) {
  Bind({At("127.0.0.1:0")}, 1);
  SetActive({1});
  const int fd = FdOf(1);
  const std::string address = AddressOf(1);
  Bind({At("127.0.0.1:0")}, 3);
  EXPECT_EQ(FdOf(1), fd);
  EXPECT_EQ(AddressOf(3), address);
  EXPECT_EQ(Spread(50, 3), (std::map<int, int>{{1, 50}}));
  SetActive({1, 2, 3});
  EXPECT_EQ(Spread(200, 3).size(), 3u);
}

// The kernel fills the place of a socket that goes with its last one; whoever gets that wrong sends connections to
// nobody. Slots come and go in every order; a worker still has a copy of what goes.
TEST_F(ListeningSocketsTest, WhichSlotIsWhichIsKnownAfterSlotsHaveGoneAndCome) {
  Bind({At("127.0.0.1:0")}, 5);
  std::vector<UniqueFd> held;
  for (const int slots : {2, 4, 3, 6, 1, 5}) {
    for (int slot = 1; slot <= 6; ++slot) {
      if (!sockets_->Of("pool", slot).empty()) held.emplace_back(dup(FdOf(slot)));
    }
    Bind({At("127.0.0.1:0")}, slots);
    for (int slot = 1; slot <= slots; ++slot) {
      SetActive({slot});
      EXPECT_EQ(Spread(20, slots), (std::map<int, int>{{slot, 20}})) << slots << " slots";
    }
  }
}

TEST_F(ListeningSocketsTest, WhatIsNotNamedAnyMoreIsClosed) {
  Bind({At("127.0.0.1:0"), At("localhost:0")}, 2);
  const std::string first = AddressOf(1, 0), second = AddressOf(1, 1);
  ASSERT_NE(first, second);
  Bind({At("localhost:0")}, 2);
  EXPECT_EQ(AddressOf(1), second);
  EXPECT_FALSE(Connect(first).valid());
  EXPECT_TRUE(Connect(second).valid());
  sockets_->Close("pool");
  EXPECT_FALSE(Connect(second).valid());
  EXPECT_TRUE(sockets_->Of("pool", 1).empty());
}

TEST_F(ListeningSocketsTest, AnErrorLeavesEverythingAsItWas) {
  Bind({At("127.0.0.1:0")}, 2);
  const std::string address = AddressOf(1);
  const int fd = FdOf(1);
  const absl::Status status = sockets_->Bind("pool", {At("127.0.0.1:0"), At("nonsense")}, 4);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(std::string(status.message()).find("\"nonsense\": no port"), std::string::npos) << status;
  EXPECT_EQ(FdOf(1), fd);
  EXPECT_EQ(AddressOf(2), address);
  EXPECT_TRUE(sockets_->Of("pool", 3).empty());
  EXPECT_EQ(Spread(100, 2).size(), 2u);
  EXPECT_FALSE(sockets_->Bind("new", {At("nonsense")}, 1).ok());
  EXPECT_TRUE(sockets_->Of("new", 1).empty());
}

TEST_F(ListeningSocketsTest, AnAddressInUseIsAnErrorAlsoWhenItsOwnerWouldShareIt) {
  Bind({At("127.0.0.1:0")}, 2);
  const absl::Status status = MakeListeningSockets()->Bind("pool", {At(AddressOf(1))}, 2);
  EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
  EXPECT_NE(std::string(status.message()).find(AddressOf(1)), std::string::npos) << status;
}

TEST_F(ListeningSocketsTest, AUnixSocketIsOneForAllAndItsFileGoesWithIt) {
  const std::string path = "/tmp/greenring_sockets_" + std::to_string(getpid());
  v1::Listener listener = At("unix:" + path);
  listener.set_unix_mode("600");
  Bind({listener}, 3);
  EXPECT_EQ(FdOf(1), FdOf(3));
  EXPECT_EQ(AddressOf(2), "unix:" + path);
  struct stat file;
  ASSERT_EQ(stat(path.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
  listener.set_unix_mode("660");
  Bind({listener}, 1);
  ASSERT_EQ(stat(path.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0660u);
  SetActive({1});
  sockets_->Close("pool");
  EXPECT_NE(stat(path.c_str(), &file), 0);
}

TEST_F(ListeningSocketsTest, OwnersOfTheSameAddressGetConnectionsByTheirSlots) {
  const std::string address = FreeAddress();
  BindFor("a", address, 1);
  BindFor("b", address, 3);
  EXPECT_TRUE(sockets_->IsShared("a"));
  const std::map<std::string, int> counts = SpreadOver(address, 400);
  EXPECT_EQ(counts.at("a") + counts.at("b"), 400);
  EXPECT_GT(counts.at("a"), 50);  // 100, by more than 5 sigma
  EXPECT_GT(counts.at("b"), 250);
  EXPECT_EQ(sockets_->Of("b", 3)[0].address, address);
}

TEST_F(ListeningSocketsTest, TheReadiestOwnersGetEverything) {
  const std::string address = FreeAddress();
  using Counts = std::map<std::string, int>;
  BindFor("a", address, 2);
  BindFor("b", address, 2);
  sockets_->SetActiveSlots("a", {2}, Readiness::kNow);
  EXPECT_EQ(SpreadOver(address, 50), (Counts{{"a", 50}})) << "b has no worker yet";
  sockets_->SetActiveSlots("b", {1}, Readiness::kNow);
  EXPECT_EQ(SpreadOver(address, 100).size(), 2u);
  sockets_->SetActiveSlots("a", {1, 2}, Readiness::kNever);
  EXPECT_EQ(SpreadOver(address, 50), (Counts{{"b", 50}})) << "a is drained";
  sockets_->SetActiveSlots("b", {1, 2}, Readiness::kSoon);
  EXPECT_EQ(SpreadOver(address, 50), (Counts{{"b", 50}})) << "b's workers start";
  sockets_->SetActiveSlots("b", {1, 2}, Readiness::kNever);
  EXPECT_EQ(SpreadOver(address, 200).size(), 2u) << "both are drained";
}

TEST_F(ListeningSocketsTest, ANewOwnerGetsNothingUntilItIsReady) {
  const std::string address = FreeAddress();
  BindFor("a", address, 1);
  sockets_->SetActiveSlots("a", {1}, Readiness::kNow);
  BindFor("b", address, 2);
  EXPECT_EQ(SpreadOver(address, 50), (std::map<std::string, int>{{"a", 50}}));
}

// What has been accepted by the kernel for those that stay is not lost when others go, in whatever order.
TEST_F(ListeningSocketsTest, AnOwnerThatGoesTakesOnlyItsSocketsAlong) {
  const std::string address = FreeAddress();
  for (const std::string first : {"a", "b", "c"}) {
    for (const std::string owner : {"a", "b", "c"}) {
      BindFor(owner, address, 2);
      sockets_->SetActiveSlots(owner, {1, 2}, Readiness::kNow);
    }
    sockets_->SetActiveSlots(first, {1, 2}, Readiness::kNever);
    std::vector<UniqueFd> waiting;
    for (int i = 0; i < 60; ++i) waiting.push_back(Connect(address));
    const UniqueFd held(dup(sockets_->Of(first, 1)[0].fd));  // a worker has not ended yet
    sockets_->Close(first);
    EXPECT_TRUE(sockets_->Of(first, 1).empty());
    const std::map<std::string, int> counts = SpreadOver(address, 60);
    EXPECT_EQ(counts.size(), 2u);
    int sum = 0;
    for (const auto& [owner, count] : counts) sum += count;
    EXPECT_EQ(sum, 120) << "without " << first;
  }
  for (const std::string owner : {"a", "b", "c"}) sockets_->Close(owner);
  EXPECT_FALSE(Connect(address).valid());
}

TEST_F(ListeningSocketsTest, AnAddressIsTheSameInOtherWords) {
  const std::string port = FreeAddress().substr(sizeof("127.0.0.1:") - 1);
  BindFor("a", "LOCALHOST:" + port, 1);
  BindFor("b", "localhost:" + port, 1);
  EXPECT_TRUE(sockets_->IsShared("b"));
  EXPECT_EQ(sockets_->Of("a", 1)[0].address, sockets_->Of("b", 1)[0].address);
  sockets_->Close("a");
  EXPECT_FALSE(sockets_->IsShared("b"));
}

TEST_F(ListeningSocketsTest, PortZeroIsAnotherOneForEachOwner) {
  BindFor("a", "127.0.0.1:0", 1);
  BindFor("b", "127.0.0.1:0", 1);
  EXPECT_FALSE(sockets_->IsShared("a"));
  EXPECT_NE(sockets_->Of("a", 1)[0].address, sockets_->Of("b", 1)[0].address);
}

TEST_F(ListeningSocketsTest, AnErrorOfOneOwnerLeavesTheOtherAlone) {
  const std::string address = FreeAddress();
  BindFor("a", address, 2);
  sockets_->SetActiveSlots("a", {2}, Readiness::kNow);
  EXPECT_FALSE(sockets_->Bind("b", {At(address), At("nonsense")}, 3).ok());
  EXPECT_FALSE(sockets_->IsShared("a"));
  EXPECT_EQ(SpreadOver(address, 50), (std::map<std::string, int>{{"a", 50}}));
  EXPECT_EQ(Waiting("a", 1), 0);
}

TEST_F(ListeningSocketsTest, MoreSlotsThanConnectionsCanBeSpreadOverAreAnError) {
  const std::string address = FreeAddress();
  BindFor("a", address, 2);
  const absl::Status status = sockets_->Bind("b", {At(address)}, 2001);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.message().find("can be shared by 2000 workers"), std::string::npos) << status;
  EXPECT_TRUE(sockets_->Of("b", 1).empty());
  EXPECT_EQ(SpreadOver(address, 10).at("a"), 10);
}

TEST_F(ListeningSocketsTest, AnOwnerMayLeaveASharedAddressForAnother) {
  const std::string address = FreeAddress();
  BindFor("a", address, 1);
  BindFor("b", address, 1);
  BindFor("b", "127.0.0.1:0", 2);
  EXPECT_FALSE(sockets_->IsShared("a"));
  EXPECT_NE(sockets_->Of("b", 1)[0].address, address);
  EXPECT_EQ(SpreadOver(address, 20), (std::map<std::string, int>{{"a", 20}}));
}

TEST_F(ListeningSocketsTest, ASharedUnixSocketGoesWithItsLastOwner) {
  const std::string path = "/tmp/greenring_shared_" + std::to_string(getpid());
  struct stat file;
  BindFor("a", "unix:" + path, 2);
  BindFor("b", "unix:" + path, 1);
  EXPECT_EQ(sockets_->Of("a", 2)[0].fd, sockets_->Of("b", 1)[0].fd);
  EXPECT_TRUE(sockets_->IsShared("b"));
  sockets_->Close("a");
  EXPECT_TRUE(sockets_->Of("a", 1).empty());
  EXPECT_EQ(stat(path.c_str(), &file), 0);
  sockets_->Close("b");
  EXPECT_NE(stat(path.c_str(), &file), 0);
}

}  // namespace
}  // namespace greenring::control
