// Descriptors that come over the link to the master: on a real ring and a real socket.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/descriptor_message.h"
#include "base/unique_fd.h"
#include "green/scheduler.h"
#include "gtest/gtest.h"
#include "ioloop/event_loop.h"
#include "ioloop/uring.h"
#include "protocol/frame.h"
#include "testing/run_for.h"
#include "worker/master_link.h"

namespace greenring::worker {
namespace {

using v1::FromWorker;
using v1::ToWorker;

constexpr int64_t kMs = kNanosecondsPerMillisecond;
constexpr size_t kDescriptorsMax = DescriptorMessage::kDescriptorsMax;

class MasterLinkDescriptorsTest : public ::testing::Test, public MasterLink::Handler {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<ioloop::Uring>> ring = ioloop::Uring::Create({});
    if (!ring.ok()) GTEST_SKIP() << ring.status();
    ring_ = *std::move(ring);
    loop_ = std::make_unique<ioloop::EventLoop>(ring_.get(), &scheduler_);
    int fds[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    master_.Reset(fds[0]);
    link_ = std::make_unique<MasterLink>(loop_.get(), UniqueFd(fds[1]), protocol::FrameDecoder(),
                                         std::vector<UniqueFd>(), this);
    link_->Start({}, [this] {
      ended_ = true;
      scheduler_.Stop();
    });
  }

  void TearDown() override {
    if (link_ == nullptr) return;
    link_->Stop();
    if (!ended_) scheduler_.Run(loop_.get());
  }

  void Run() { testing::RunFor(&scheduler_, loop_.get(), 20 * kMs); }

  static std::string Frame(const ToWorker& message) {
    std::string frame;
    protocol::AppendFrame(&frame, [&message](std::string* out) { return message.AppendToString(out); });
    return frame;
  }

  static std::string RoutesFrame(bool has_inbox, int pools, const std::string& address = "") {
    ToWorker message;
    message.mutable_routes()->set_has_inbox(has_inbox);
    for (int i = 0; i < pools; ++i) message.mutable_routes()->add_pools("pools/other");
    message.mutable_routes()->add_entries()->set_address(address);
    return Frame(message);
  }

  // Pipes' ends, so that it can be seen which is which.
  void Send(const std::string& bytes, size_t count) {
    std::vector<int> fds;
    for (size_t i = 0; i < count; ++i) {
      int ends[2];
      ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
      fds.push_back(ends[1]);
      read_ends_.emplace_back(ends[0]);
    }
    DescriptorMessage message(bytes, fds);
    ASSERT_EQ(sendmsg(master_.get(), message.header(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    for (const int fd : fds) close(fd);
  }

  // That `fd` is the writing end of the pipe that was sent as number `index`.
  void ExpectIs(const UniqueFd& fd, size_t index) {
    ASSERT_EQ(write(fd.get(), "!", 1), 1);
    char byte = 0;
    EXPECT_EQ(read(read_ends_[index].get(), &byte, 1), 1);
    EXPECT_NE(fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, 0);
  }

  absl::Status Apply(const ToWorker::Apply&) override { return absl::OkStatus(); }
  absl::Status ListRequests(const ToWorker::ListRequests&, FromWorker::RequestList*) override {
    ++lists_;
    return absl::OkStatus();
  }
  absl::Status GetStack(const ToWorker::GetStack&, FromWorker::StackText*) override { return absl::OkStatus(); }
  absl::Status CancelRequest(const ToWorker::CancelRequest&) override { return absl::OkStatus(); }
  absl::Status StopAccepting(const ToWorker::StopAccepting&, std::function<void()>) override {
    return absl::OkStatus();
  }
  void SetRoutes(const ToWorker::Routes& routes, std::vector<UniqueFd> descriptors) override {
    taken_.push_back(std::move(descriptors));
  }
  void Drain(const ToWorker::Drain&) override {}
  void Dump() override {}
  void TakeSignal(int) override {}
  void OnMasterGone(const std::string& why) override { gone_.push_back(why); }
  void Observe(FromWorker::Observed*) override {}
  int DrainingRequests() override { return -1; }
  bool Report(FromWorker::Report*) override { return false; }

  green::Scheduler scheduler_;
  std::unique_ptr<ioloop::Uring> ring_;
  std::unique_ptr<ioloop::EventLoop> loop_;
  UniqueFd master_;
  std::unique_ptr<MasterLink> link_;
  std::vector<UniqueFd> read_ends_;
  std::vector<std::vector<UniqueFd>> taken_;
  std::vector<std::string> gone_;
  int lists_ = 0;
  bool ended_ = false;
};

TEST_F(MasterLinkDescriptorsTest, EachRoutesHasItsOwnInOrder) {
  ToWorker list;
  list.mutable_list_requests();
  Send(RoutesFrame(true, 2), 3);
  Send(Frame(list), 0);
  Send(RoutesFrame(false, 1), 1);
  Send(RoutesFrame(false, 0), 0);
  Send(RoutesFrame(true, 0), 1);
  Run();
  EXPECT_EQ(gone_, std::vector<std::string>{});
  EXPECT_EQ(lists_, 1);
  ASSERT_EQ(taken_.size(), 4u);
  ASSERT_EQ(taken_[0].size(), 3u);
  for (size_t i = 0; i < 3; ++i) ExpectIs(taken_[0][i], i);
  ASSERT_EQ(taken_[1].size(), 1u);
  ExpectIs(taken_[1][0], 3);
  EXPECT_EQ(taken_[2].size(), 0u);
  ASSERT_EQ(taken_[3].size(), 1u);
  ExpectIs(taken_[3][0], 4);
}

TEST_F(MasterLinkDescriptorsTest, TheMessageMayComeLongAfterItsDescriptors) {
  const std::string frame = RoutesFrame(true, 1, std::string(50000, 'x'));
  Send(frame.substr(0, 1), 2);
  Run();
  Send(frame.substr(1, 30000), 0);
  Run();
  EXPECT_EQ(gone_, std::vector<std::string>{});
  EXPECT_TRUE(taken_.empty());
  Send(frame.substr(30001), 0);
  Run();
  ASSERT_EQ(taken_.size(), 1u);
  ASSERT_EQ(taken_[0].size(), 2u);
  ExpectIs(taken_[0][1], 1);
}

TEST_F(MasterLinkDescriptorsTest, AsManyAsTheKernelSends) {
  Send(RoutesFrame(true, kDescriptorsMax - 1), kDescriptorsMax);
  Run();
  ASSERT_EQ(taken_.size(), 1u);
  EXPECT_EQ(taken_[0].size(), kDescriptorsMax);
}

TEST_F(MasterLinkDescriptorsTest, TooFewEndTheLink) {
  Send(RoutesFrame(true, 2), 2);
  Run();
  EXPECT_EQ(gone_, std::vector<std::string>{"it has named 3 sockets of pools, and sent 2"});
  EXPECT_TRUE(taken_.empty());
}

TEST_F(MasterLinkDescriptorsTest, ThoseThatNoMessageHasNamedEndTheLink) {
  Send(RoutesFrame(false, 1), 3);
  Run();
  EXPECT_EQ(gone_, std::vector<std::string>{"it has sent 2 sockets that no message has named"});
}

TEST_F(MasterLinkDescriptorsTest, ThoseThatCouldNotBeTakenOverEndTheLink) {
  Run();  // what needs descriptors when the first green thread runs has them
  Send(RoutesFrame(true, 2), 3);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none = {.rlim_cur = 3, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  Run();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_EQ(gone_.size(), 1u);
  EXPECT_NE(gone_[0].find("ulimit -n"), std::string::npos) << gone_[0];
  EXPECT_TRUE(taken_.empty());
}

}  // namespace
}  // namespace greenring::worker
