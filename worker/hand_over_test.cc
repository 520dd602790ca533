#include "worker/hand_over.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "base/descriptor_message.h"
#include "base/unique_fd.h"
#include "greenring/worker/v1/hand_over.pb.h"
#include "gtest/gtest.h"

namespace greenring::worker {
namespace {

size_t OpenDescriptors() {
  DIR* const directory = opendir("/proc/self/fd");
  size_t count = 0;
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count;
}

std::pair<UniqueFd, UniqueFd> Pair(int type) {
  int fds[2];
  EXPECT_EQ(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds), 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

class HandOverTest : public ::testing::Test {
 protected:
  HandOverTest() { std::tie(receiving_, sending_) = Pair(SOCK_SEQPACKET); }

  void TearDown() override {
    receiving_.Reset();
    sending_.Reset();
    EXPECT_EQ(OpenDescriptors(), descriptors_) << "a descriptor was left open";
  }

  // A datagram of whatever bytes and descriptors.
  void SendRaw(const std::string& bytes, const std::vector<int>& descriptors) {
    DescriptorMessage message(bytes, descriptors);
    ASSERT_EQ(sendmsg(sending_.get(), message.header(), 0), static_cast<ssize_t>(bytes.size()));
  }

  std::string WhyNot() {
    const absl::Status status = ReceiveConnection(receiving_.get()).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  }

  const size_t descriptors_ = OpenDescriptors();
  UniqueFd receiving_, sending_;
};

TEST_F(HandOverTest, AConnectionArrivesWithWhatItHasReceived) {
  for (const size_t size : {size_t{0}, size_t{1}, kInlineBytesMax, kInlineBytesMax + 1, size_t{1} << 20}) {
    auto [client, server] = Pair(SOCK_STREAM);
    std::string received(size, 'r');
    for (size_t i = 0; i < size; ++i) received[i] = static_cast<char>(i * 7);
    ASSERT_TRUE(SendConnection(sending_.get(), {"127.0.0.1:80", received, std::move(server)}).ok());
    absl::StatusOr<HandedConnection> connection = ReceiveConnection(receiving_.get());
    ASSERT_TRUE(connection.ok()) << connection.status();
    EXPECT_EQ(connection->address, "127.0.0.1:80");
    EXPECT_EQ(connection->received, received);
    EXPECT_NE(fcntl(connection->fd.get(), F_GETFD) & FD_CLOEXEC, 0);
    ASSERT_EQ(write(connection->fd.get(), "!", 1), 1);
    char byte = 0;
    EXPECT_EQ(read(client.get(), &byte, 1), 1);
    EXPECT_EQ(byte, '!');
  }
}

TEST_F(HandOverTest, EachConnectionIsADatagramOfItsOwn) {
  for (const char* const address : {"a", "b", "c"}) {
    ASSERT_TRUE(SendConnection(sending_.get(), {address, "x", Pair(SOCK_STREAM).first}).ok());
  }
  for (const char* const address : {"a", "b", "c"}) EXPECT_EQ(ReceiveConnection(receiving_.get())->address, address);
  EXPECT_TRUE(absl::IsUnavailable(ReceiveConnection(receiving_.get()).status()));
}

TEST_F(HandOverTest, AFullInboxIsSaidAndTheConnectionIsStillTheCallers) {
  const HandedConnection connection{"a", std::string(kInlineBytesMax, 'x'), Pair(SOCK_STREAM).first};
  absl::Status status;
  int sent = 0;
  while ((status = SendConnection(sending_.get(), connection)).ok()) ASSERT_LT(++sent, 10000);
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_GT(sent, 0);
  EXPECT_GE(fcntl(connection.fd.get(), F_GETFD), 0);
  ASSERT_TRUE(ReceiveConnection(receiving_.get()).ok());
  EXPECT_TRUE(SendConnection(sending_.get(), connection).ok());
}

TEST_F(HandOverTest, NobodyAtTheOtherEndIsSaid) {
  const HandedConnection connection{"a", "x", Pair(SOCK_STREAM).first};
  receiving_.Reset();
  EXPECT_TRUE(absl::IsUnavailable(SendConnection(sending_.get(), connection)));
  std::tie(receiving_, sending_) = Pair(SOCK_SEQPACKET);
  sending_.Reset();
  EXPECT_TRUE(absl::IsOutOfRange(ReceiveConnection(receiving_.get()).status()));
}

TEST_F(HandOverTest, WhatMakesNoSenseIsRefused) {
  auto [a, b] = Pair(SOCK_STREAM);
  v1::HandedConnection message;
  message.set_address("a");
  const std::string plain = message.SerializeAsString();
  message.set_received_in_file(true);
  const std::string in_file = message.SerializeAsString();

  SendRaw("\xff\xff\xff", {a.get()});
  EXPECT_EQ(WhyNot(), "its bytes are no message");
  SendRaw(plain, {});
  EXPECT_EQ(WhyNot(), "it has 0 descriptors instead of 1");
  SendRaw(plain, {a.get(), b.get()});
  EXPECT_EQ(WhyNot(), "it has 2 descriptors instead of 1");
  SendRaw(in_file, {a.get()});
  EXPECT_EQ(WhyNot(), "it has 1 descriptors instead of 2");
  SendRaw(plain, std::vector<int>(DescriptorMessage::kDescriptorsMax, a.get()));
  EXPECT_EQ(WhyNot(), "it has 253 descriptors instead of 1");
  SendRaw(in_file, {a.get(), b.get()});
  EXPECT_EQ(WhyNot(), "what it has received is no file, or too long");
  SendRaw(std::string(64 * 1024, 'x'), {a.get()});
  EXPECT_EQ(WhyNot(), "it is too long");
  SendRaw("", {a.get()});
  EXPECT_TRUE(ReceiveConnection(receiving_.get()).ok()) << "of no address, which its receiver does not know";
}

TEST_F(HandOverTest, AFileThatIsTooLongIsRefused) {
  auto [a, b] = Pair(SOCK_STREAM);
  const UniqueFd file(memfd_create("test", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(file.get(), static_cast<off_t>(kHandedBytesMax) + 1), 0);
  v1::HandedConnection message;
  message.set_received_in_file(true);
  SendRaw(message.SerializeAsString(), {a.get(), file.get()});
  EXPECT_EQ(WhyNot(), "what it has received is no file, or too long");
}

}  // namespace
}  // namespace greenring::worker
