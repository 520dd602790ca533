#include "control/link_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/descriptor_message.h"
#include "gtest/gtest.h"
#include "protocol/frame.h"

namespace greenring::control {
namespace {

using worker::v1::ToWorker;

ToWorker Message(int64_t id, size_t bytes = 0) {
  ToWorker message;
  message.set_id(id);
  message.mutable_cancel_request()->set_reason(std::string(bytes, 'x'));
  return message;
}

// What the worker has received: the messages, and with which of them descriptors came at the latest.
class LinkQueueTest : public ::testing::Test {
 protected:
  LinkQueueTest() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    ours_.Reset(ends[0]);
    theirs_.Reset(ends[1]);
  }

  // The reading end of a pipe that nobody else has once `holder` is gone.
  SharedFd Descriptor() {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    writing_.emplace_back(ends[1]);
    return std::make_shared<const UniqueFd>(ends[0]);
  }

  // Reads what is there in pieces of `size`.
  void Receive(size_t size) {
    std::vector<char> buffer(size);
    for (;;) {
      DescriptorMessage message(buffer.data(), buffer.size());
      const ssize_t received = recvmsg(theirs_.get(), message.header(), MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
      if (received <= 0) return;
      EXPECT_FALSE(message.lost_descriptors());
      const size_t received_before = received_fds_.size();
      message.Take(&received_fds_);
      if (received_fds_.size() > received_before) batches_.push_back(received_fds_.size() - received_before);
      decoder_.Append({buffer.data(), static_cast<size_t>(received)});
      std::string_view payload;
      while (decoder_.Next(&payload) == protocol::FrameDecoder::Result::kFrame) {
        ToWorker one;
        EXPECT_TRUE(one.ParseFromArray(payload.data(), static_cast<int>(payload.size())));
        ids_.push_back(one.id());
        fds_at_[one.id()] = received_fds_.size();
      }
    }
  }

  UniqueFd ours_, theirs_;
  std::vector<UniqueFd> writing_;
  LinkQueue queue_;
  protocol::FrameDecoder decoder_;
  std::vector<int64_t> ids_;
  std::map<int64_t, size_t> fds_at_;  // how many had come with that message and those before
  std::vector<size_t> batches_;
  std::vector<UniqueFd> received_fds_;
};

TEST_F(LinkQueueTest, DescriptorsComeWithTheirMessageInOrder) {
  ASSERT_TRUE(queue_.Append(Message(1), {Descriptor()}));
  ASSERT_TRUE(queue_.Append(Message(2)));
  ASSERT_TRUE(queue_.Append(Message(3), {Descriptor(), Descriptor()}, {ours_.get()}));
  EXPECT_EQ(queue_.SendTo(ours_.get()), 0);
  EXPECT_TRUE(queue_.empty());
  Receive(4096);
  EXPECT_EQ(ids_, (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(batches_, (std::vector<size_t>{1, 3}));
  EXPECT_GE(fds_at_[1], 1u);
  EXPECT_EQ(fds_at_[3], 4u);
}

// However full the socket is: what waits keeps its descriptors, and they come with the message's first byte.
TEST_F(LinkQueueTest, DescriptorsWaitWithTheirMessageUntilTheSocketTakesIt) {
  ASSERT_TRUE(queue_.Append(Message(1, 1 << 20)));
  ASSERT_EQ(queue_.SendTo(ours_.get()), EAGAIN);
  std::vector<std::weak_ptr<const UniqueFd>> sent;
  for (int64_t id = 2; id < 20; ++id) {
    const SharedFd fd = Descriptor();
    sent.push_back(fd);
    ASSERT_TRUE(queue_.Append(Message(id, id % 3 == 0 ? 100'000 : 0), {fd}));
  }
  for (const auto& fd : sent) EXPECT_FALSE(fd.expired()) << "it is not open any more";
  for (int turns = 0; !queue_.empty() && turns < 1000; ++turns) {
    Receive(777);
    const int error = queue_.SendTo(ours_.get());
    ASSERT_TRUE(error == 0 || error == EAGAIN) << error;
  }
  Receive(777);
  ASSERT_EQ(ids_.size(), 19u);
  for (int64_t id = 1; id < 20; ++id) {
    EXPECT_EQ(ids_[static_cast<size_t>(id) - 1], id);
    EXPECT_GE(fds_at_[id], static_cast<size_t>(id) - 1) << "message " << id << " came before its descriptor";
  }
  EXPECT_EQ(batches_, std::vector<size_t>(18, 1));
  for (const auto& fd : sent) EXPECT_TRUE(fd.expired()) << "it is kept longer than needed";
}

TEST_F(LinkQueueTest, AMessageThatIsTooLongChangesNothing) {
  ASSERT_TRUE(queue_.Append(Message(1)));
  const size_t before = queue_.size_bytes();
  const SharedFd fd = Descriptor();
  EXPECT_FALSE(queue_.Append(Message(2, protocol::kFramePayloadBytesMax + 1), {fd}));
  EXPECT_EQ(queue_.size_bytes(), before);
  EXPECT_EQ(fd.use_count(), 1);
  EXPECT_EQ(queue_.SendTo(ours_.get()), 0);
  Receive(4096);
  EXPECT_EQ(ids_, std::vector<int64_t>{1});
  EXPECT_TRUE(received_fds_.empty());
}

TEST_F(LinkQueueTest, WhoeverHasGoneIsAnErrorAndNothingIsSent) {
  theirs_.Reset();
  ASSERT_TRUE(queue_.Append(Message(1), {Descriptor()}));
  EXPECT_EQ(queue_.SendTo(ours_.get()), EPIPE);
  queue_.Clear();
  EXPECT_EQ(queue_.SendTo(ours_.get()), 0);
}

}  // namespace
}  // namespace greenring::control
