#include "base/descriptor_message.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "gtest/gtest.h"

namespace greenring {
namespace {

class DescriptorMessageTest : public ::testing::Test {
 protected:
  void Open(int type) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    sending_.Reset(ends[0]);
    receiving_.Reset(ends[1]);
  }

  void Send(std::string_view bytes, const std::vector<int>& descriptors) {
    DescriptorMessage message(bytes, descriptors);
    ASSERT_EQ(sendmsg(sending_.get(), message.header(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }

  // The bytes; descriptors go to received_.
  std::string Receive(size_t size = 100) {
    std::string bytes(size, '\0');
    DescriptorMessage message(bytes.data(), bytes.size());
    const ssize_t received = recvmsg(receiving_.get(), message.header(), MSG_CMSG_CLOEXEC);
    if (received < 0) return "nothing";
    message.Take(&received_);
    message.Take(&received_);  // has no effect
    lost_descriptors_ = message.lost_descriptors();
    lost_bytes_ = message.lost_bytes();
    return bytes.substr(0, static_cast<size_t>(received));
  }

  // A file of its own.
  UniqueFd NewFile() {
    files_.emplace_back(open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    EXPECT_TRUE(files_.back().valid());
    return UniqueFd(dup(files_.back().get()));
  }

  static ino_t FileOf(const UniqueFd& fd) {
    struct stat what = {};
    EXPECT_EQ(fstat(fd.get(), &what), 0);
    return what.st_ino;
  }

  UniqueFd sending_, receiving_;
  std::vector<UniqueFd> files_;
  std::vector<UniqueFd> received_;
  bool lost_descriptors_ = false;
  bool lost_bytes_ = false;
};

TEST_F(DescriptorMessageTest, DescriptorsComeInTheirOrderAndCloseOnExec) {
  Open(SOCK_STREAM);
  std::vector<UniqueFd> sent;
  std::vector<int> numbers;
  for (int i = 0; i < 3; ++i) numbers.push_back(sent.emplace_back(NewFile()).get());
  Send("three", numbers);
  sent.clear();
  EXPECT_EQ(Receive(), "three");
  ASSERT_EQ(received_.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(FileOf(received_[i]), FileOf(files_[i]));
    EXPECT_NE(fcntl(received_[i].get(), F_GETFD) & FD_CLOEXEC, 0);
  }
  EXPECT_FALSE(lost_descriptors_);
}

TEST_F(DescriptorMessageTest, WithoutDescriptorsItIsPlainBytes) {
  Open(SOCK_STREAM);
  Send("plain", {});
  EXPECT_EQ(Receive(), "plain");
  EXPECT_TRUE(received_.empty());
  EXPECT_EQ(Receive(), "nothing");
  EXPECT_TRUE(received_.empty());
}

TEST_F(DescriptorMessageTest, AsManyAsTheKernelTakesArrive) {
  Open(SOCK_STREAM);
  const UniqueFd file = NewFile();
  Send("x", std::vector<int>(DescriptorMessage::kDescriptorsMax, file.get()));
  EXPECT_EQ(Receive(), "x");
  EXPECT_EQ(received_.size(), DescriptorMessage::kDescriptorsMax);
  EXPECT_FALSE(lost_descriptors_);
}

TEST_F(DescriptorMessageTest, TheKernelTakesNoMore) {
  Open(SOCK_STREAM);
  const UniqueFd file = NewFile();
  alignas(cmsghdr) char control[CMSG_SPACE((DescriptorMessage::kDescriptorsMax + 1) * sizeof(int))] = {};
  DescriptorMessage message(std::string_view("x"), {});
  message.header()->msg_control = control;
  message.header()->msg_controllen = sizeof(control);
  cmsghdr* const rights = CMSG_FIRSTHDR(message.header());
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN((DescriptorMessage::kDescriptorsMax + 1) * sizeof(int));
  EXPECT_EQ(sendmsg(sending_.get(), message.header(), MSG_NOSIGNAL), -1);
}

TEST_F(DescriptorMessageTest, MoreThanTheProcessMayHaveAreSaidToBeLost) {
  Open(SOCK_STREAM);
  const UniqueFd file = NewFile();
  Send("x", {file.get(), file.get()});
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const UniqueFd lowest_free(dup(0));
  const rlimit one_more = {.rlim_cur = static_cast<rlim_t>(lowest_free.get()) + 2, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &one_more), 0);
  EXPECT_EQ(Receive(), "x");
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(lost_descriptors_);
  EXPECT_LE(received_.size(), 1u);
}

TEST_F(DescriptorMessageTest, ADatagramThatIsTooLongIsSaidToBeCut) {
  Open(SOCK_SEQPACKET);
  const UniqueFd file = NewFile();
  Send("0123456789", {file.get()});
  EXPECT_EQ(Receive(/*size=*/4), "0123");
  EXPECT_TRUE(lost_bytes_);
  EXPECT_EQ(received_.size(), 1u) << "and is not left open";
  Send("0123", {});
  EXPECT_EQ(Receive(/*size=*/4), "0123");
  EXPECT_FALSE(lost_bytes_);
}

}  // namespace
}  // namespace greenring
