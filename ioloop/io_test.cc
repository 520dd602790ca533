#include "ioloop/io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "green/scheduler.h"
#include "gtest/gtest.h"
#include "ioloop/event_loop.h"
#include "ioloop/ring_world.h"

namespace greenring::ioloop {
namespace {

class IoTest : public ::testing::TestWithParam<WorldKind> {
 protected:
  // Runs `body` on a green thread; afterwards nothing may be in flight.
  void Run(const std::function<void()>& body) {
    world_ = GetParam().make({});
    if (world_ == nullptr) GTEST_SKIP() << "this kernel or sandbox has no io_uring";
    const size_t descriptors = world_->OpenDescriptors();
    scheduler_.emplace(green::SchedulerOptions{.clock = world_->clock()});
    loop_.emplace(world_->ring(), &*scheduler_);
    scheduler_->Spawn([&] {
      body();
      Sleep(loop(), After(kNanosecondsPerMillisecond));
      scheduler_->Stop();
    });
    scheduler_->Run(loop());
    EXPECT_EQ(world_->ring()->in_flight(), 0u);
    EXPECT_EQ(world_->OpenDescriptors(), descriptors);
    loop_.reset();
    scheduler_.reset();
    world_ = nullptr;
  }

  EventLoop* loop() { return &*loop_; }
  int64_t After(int64_t duration_ns) { return world_->clock()->NowNs() + duration_ns; }

  std::unique_ptr<RingWorld> world_;
  std::optional<green::Scheduler> scheduler_;
  std::optional<EventLoop> loop_;
};

INSTANTIATE_TEST_SUITE_P(All, IoTest, ::testing::ValuesIn(AllWorlds()),
                         [](const auto& info) { return info.param.name; });

TEST_P(IoTest, TwoGreenThreadsTalk) {
  Run([this] {
    auto [a, b] = world_->SocketPair();
    bool done = false;
    scheduler_->Spawn([&, b = b] {
      char data[16];
      int32_t size;
      while ((size = Recv(loop(), b, data, sizeof(data), 0)) > 0) EXPECT_EQ(Write(loop(), b, data, size, -1), size);
      EXPECT_EQ(size, 0);
      done = true;
    });
    for (int i = 0; i < 100; ++i) {
      const std::string text = std::to_string(i);
      EXPECT_EQ(Send(loop(), a, text.data(), text.size(), MSG_NOSIGNAL), static_cast<int32_t>(text.size()));
      char data[16];
      const int32_t size = Read(loop(), a, data, sizeof(data), -1);
      EXPECT_EQ(std::string(data, static_cast<size_t>(size)), text);
    }
    world_->PeerShutdown(a);
    while (!done) Sleep(loop(), After(kNanosecondsPerMillisecond));
    world_->PeerClose(a);
    world_->PeerClose(b);
  });
}

TEST_P(IoTest, DeadlineEndsAnOperationAndGivesItsMemoryBack) {
  Run([this] {
    auto [ours, peers] = world_->SocketPair();
    auto data = std::make_unique<char[]>(100);
    EXPECT_EQ(Recv(loop(), ours, data.get(), 100, 0, After(2 * kNanosecondsPerMillisecond)), -ETIMEDOUT);
    EXPECT_EQ(Poll(loop(), ours, POLLIN, After(2 * kNanosecondsPerMillisecond)), -ETIMEDOUT);
    data = nullptr;
    world_->PeerWrite(peers, "not lost");
    char next[16];
    EXPECT_EQ(Recv(loop(), ours, next, sizeof(next), 0), 8);
    world_->PeerClose(ours);
    world_->PeerClose(peers);
  });
}

TEST_P(IoTest, DataThatIsThereBeatsADeadlineThatIsPast) {
  Run([this] {
    auto [ours, peers] = world_->SocketPair();
    world_->PeerWrite(peers, "there");
    char data[16];
    EXPECT_EQ(Recv(loop(), ours, data, sizeof(data), 0, 1), 5);
    world_->PeerClose(ours);
    world_->PeerClose(peers);
  });
}

TEST_P(IoTest, CancelEndsAnOperationOnce) {
  Run([this] {
    auto [ours, peers] = world_->SocketPair();
    std::optional<int32_t> first, second;
    green::GreenThread* const reader = scheduler_->Spawn([&, ours = ours] {
      char data[16];
      first = Recv(loop(), ours, data, sizeof(data), 0);
      scheduler_->ClearCancel();
      second = Recv(loop(), ours, data, sizeof(data), 0);
    });
    Sleep(loop(), After(kNanosecondsPerMillisecond));
    EXPECT_FALSE(first.has_value());
    scheduler_->Cancel(reader);
    while (!first.has_value()) Sleep(loop(), After(kNanosecondsPerMillisecond));
    EXPECT_EQ(*first, -ECANCELED);
    world_->PeerWrite(peers, "again");
    while (!second.has_value()) Sleep(loop(), After(kNanosecondsPerMillisecond));
    EXPECT_EQ(*second, 5);
    world_->PeerClose(ours);
    world_->PeerClose(peers);
  });
}

TEST_P(IoTest, UnparkForAnotherReasonDoesNotEndAWait) {
  Run([this] {
    auto [ours, peers] = world_->SocketPair();
    std::optional<int32_t> received, slept;
    green::GreenThread* const reader = scheduler_->Spawn([&, ours = ours] {
      char data[16];
      received = Recv(loop(), ours, data, sizeof(data), 0);
      slept = Sleep(loop(), After(10 * kNanosecondsPerMillisecond));
    });
    for (int i = 0; i < 5; ++i) {
      scheduler_->Yield();
      scheduler_->Unpark(reader);
    }
    EXPECT_FALSE(received.has_value());
    world_->PeerWrite(peers, "x");
    while (!received.has_value()) Sleep(loop(), After(kNanosecondsPerMillisecond));
    EXPECT_EQ(*received, 1);
    scheduler_->Unpark(reader);
    while (!slept.has_value()) Sleep(loop(), After(kNanosecondsPerMillisecond));
    EXPECT_EQ(*slept, 0);
    world_->PeerClose(ours);
    world_->PeerClose(peers);
  });
}

TEST_P(IoTest, SleepEndsAtItsDeadlineOrWhenCancelled) {
  Run([this] {
    const int64_t deadline_ns = After(3 * kNanosecondsPerMillisecond);
    EXPECT_EQ(Sleep(loop(), deadline_ns), 0);
    EXPECT_GE(world_->clock()->NowNs(), deadline_ns);
    std::optional<int32_t> result;
    green::GreenThread* const sleeper = scheduler_->Spawn([&] { result = Sleep(loop(), kNeverNs); });
    scheduler_->Yield();
    scheduler_->Cancel(sleeper);
    scheduler_->Yield();
    EXPECT_EQ(result, -ECANCELED);
  });
}

TEST_P(IoTest, ConnectAndPollWait) {
  Run([this] {
    auto [listener, port] = world_->Listen();
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = world_->Socket();
    EXPECT_EQ(Connect(loop(), fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(Poll(loop(), fd, POLLOUT) & POLLOUT, POLLOUT);
    EXPECT_EQ(Poll(loop(), listener, POLLIN) & POLLIN, POLLIN);
    world_->PeerClose(fd);
    world_->PeerClose(listener);
  });
}

}  // namespace
}  // namespace greenring::ioloop
