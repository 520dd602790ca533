// Several inboxes of one socket, each on a ring of its own, as the workers of a pool have them.
#include "worker/inbox.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "green/scheduler.h"
#include "gtest/gtest.h"
#include "ioloop/event_loop.h"
#include "ioloop/uring.h"
#include "testing/run_for.h"
#include "worker/hand_over.h"

namespace greenring::worker {
namespace {

constexpr int64_t kMs = kNanosecondsPerMillisecond;

// What of a worker takes connections.
class Taker final : public Inbox::Handler {
 public:
  Taker(std::unique_ptr<ioloop::Uring> ring, int socket) : ring_(std::move(ring)) {
    inbox_ = std::make_unique<Inbox>(&loop_, UniqueFd(dup(socket)), this);
  }
  ~Taker() {
    inbox_->Stop();
    Run();
    EXPECT_TRUE(stopped);
  }

  Inbox* inbox() { return inbox_.get(); }

  void Run(int64_t duration_ns = 5 * kMs) { testing::RunFor(&scheduler_, &loop_, duration_ns); }

  // Lets the kernel's queue have what this ring wants of it, and waits for nothing.
  void Submit() { loop_.SubmitNow(); }
  uint64_t completions() const { return loop_.stats().completions; }

  void OnHandedOver(HandedConnection connection) override {
    taken.push_back(connection.address);
    if (stop_at_once) inbox_->Stop();
  }
  void OnLost(const std::string& why) override { lost.push_back(why); }
  void OnInboxStopped(Inbox*) override { stopped = true; }

  std::vector<std::string> taken;
  std::vector<std::string> lost;
  bool stopped = false;
  bool stop_at_once = false;

 private:
  std::unique_ptr<ioloop::Uring> ring_;
  green::Scheduler scheduler_;
  ioloop::EventLoop loop_{ring_.get(), &scheduler_};
  std::unique_ptr<Inbox> inbox_;
};

class InboxTest : public ::testing::Test {
 protected:
  void SetUp() override {
    int fds[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    receiving_.Reset(fds[0]);
    sending_.Reset(fds[1]);
    if (MakeTaker() == nullptr) GTEST_SKIP() << "no io_uring";
  }

  Taker* MakeTaker() {
    absl::StatusOr<std::unique_ptr<ioloop::Uring>> ring = ioloop::Uring::Create({});
    if (!ring.ok()) return nullptr;
    return takers_.emplace_back(std::make_unique<Taker>(*std::move(ring), receiving_.get())).get();
  }

  Taker& first() { return *takers_[0]; }

  void Hand(const std::string& address) {
    ASSERT_TRUE(SendConnection(sending_.get(), {address, "", UniqueFd(dup(sending_.get()))}).ok());
  }

  UniqueFd receiving_, sending_;
  std::vector<std::unique_ptr<Taker>> takers_;
};

using Addresses = std::vector<std::string>;

TEST_F(InboxTest, TakesWhatIsThereAndWhatComes) {
  Hand("early");
  first().inbox()->Start();
  first().Run();
  EXPECT_EQ(first().taken, Addresses{"early"});
  Hand("one");
  Hand("two");
  first().Run();
  EXPECT_EQ(first().taken, (Addresses{"early", "one", "two"}));
}

TEST_F(InboxTest, AConnectionWakesOneOfThoseThatWait) {
  MakeTaker();
  MakeTaker();
  for (auto& taker : takers_) {
    taker->inbox()->Start();
    taker->Submit();
  }
  Hand("one");
  // Nobody has taken it yet: whoever was woken has a completion.
  std::vector<uint64_t> woken;
  for (auto& taker : takers_) {
    const uint64_t before = taker->completions();
    taker->Run();
    woken.push_back(taker->completions() - before);
  }
  EXPECT_EQ(takers_[0]->taken, Addresses{"one"});
  EXPECT_EQ(woken[1], 0u);
  EXPECT_EQ(woken[2], 0u);
}

TEST_F(InboxTest, TheyTakeTurns) {
  MakeTaker();
  for (auto& taker : takers_) {
    taker->inbox()->Start();
    taker->Submit();
  }
  for (int i = 0; i < 4; ++i) {
    Hand(std::to_string(i));
    for (auto& taker : takers_) taker->Run(kMs);
  }
  EXPECT_EQ(takers_[0]->taken, (Addresses{"0", "2"}));
  EXPECT_EQ(takers_[1]->taken, (Addresses{"1", "3"}));
}

TEST_F(InboxTest, WhoStopsLeavesTheRestToOthers) {
  MakeTaker();
  first().stop_at_once = true;
  first().inbox()->Start();
  first().Submit();
  for (const char* const address : {"one", "two", "three"}) Hand(address);
  first().Run();
  EXPECT_TRUE(first().stopped);
  EXPECT_EQ(first().taken, Addresses{"one"});
  takers_[1]->inbox()->Start();
  takers_[1]->Run();
  EXPECT_EQ(takers_[1]->taken, (Addresses{"two", "three"}));
}

TEST_F(InboxTest, AStopLosesNoWake) {
  MakeTaker();
  for (auto& taker : takers_) {
    taker->inbox()->Start();
    taker->Submit();
  }
  Hand("one");  // for which the first one is woken
  first().inbox()->Stop();
  first().Run();
  takers_[1]->Run();
  EXPECT_EQ(first().taken.size() + takers_[1]->taken.size(), 1u);
  EXPECT_TRUE(first().stopped);
}

TEST_F(InboxTest, StoppedInTimeItTakesNothing) {
  first().inbox()->Start();
  first().Submit();
  first().inbox()->Stop();
  first().inbox()->Stop();
  first().Run();
  EXPECT_TRUE(first().stopped);
  Hand("one");
  first().Run();
  EXPECT_EQ(first().taken, Addresses{});
}

TEST_F(InboxTest, NonsenseIsToldAndTheNextOneIsTaken) {
  first().inbox()->Start();
  ASSERT_EQ(write(sending_.get(), "\xff\xff", 2), 2);
  Hand("one");
  first().Run();
  EXPECT_EQ(first().lost, Addresses{"its bytes are no message"});
  EXPECT_EQ(first().taken, Addresses{"one"});
}

TEST_F(InboxTest, AnEmptyDatagramEndsNothing) {
  first().inbox()->Start();
  ASSERT_EQ(send(sending_.get(), "", 0, 0), 0);
  Hand("one");
  first().Run();
  EXPECT_EQ(first().lost.size(), 1u);
  EXPECT_EQ(first().taken, Addresses{"one"});
}

TEST_F(InboxTest, WhenNobodyCanSendItRests) {
  first().inbox()->Start();
  Hand("last");
  sending_.Reset();
  first().Run();
  EXPECT_EQ(first().taken, Addresses{"last"});
  const uint64_t before = first().completions();
  first().Run(50 * kMs);
  EXPECT_EQ(first().completions(), before);
  EXPECT_EQ(first().lost, Addresses{});
}

TEST_F(InboxTest, OutOfDescriptorsItLeavesTheNextOnesToOthersForAWhile) {
  MakeTaker();
  first().inbox()->Start();
  first().Submit();
  Hand("lost");
  Hand("next");
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none = {.rlim_cur = 3, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  first().Run();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(first().lost, Addresses{"too many open files: a limit (ulimit -n) is too low"});
  EXPECT_EQ(first().taken, Addresses{});
  takers_[1]->inbox()->Start();
  takers_[1]->Run();
  EXPECT_EQ(takers_[1]->taken, Addresses{"next"});
  Hand("after");
  takers_[1]->inbox()->Stop();
  takers_[1]->Run();
  first().Run(2 * Inbox::kExhaustedPauseNs);
  EXPECT_EQ(first().taken.size() + takers_[1]->taken.size(), 2u);
}

}  // namespace
}  // namespace greenring::worker
