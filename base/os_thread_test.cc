#include "base/os_thread.h"

#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/futex.h"
#include "gtest/gtest.h"

namespace greenring {
namespace {

using State = OsThread::Look::State;

// An OS thread that does `work`; `seen` is it.
class Someone {
 public:
  explicit Someone(std::function<void()> work)
      : thread_([this, work = std::move(work)] {
          seen.BecomeCurrent();
          seen.BeginAccounts();
          work();
        }) {
    while (seen.id() == 0) std::this_thread::yield();
  }
  ~Someone() {
    if (thread_.joinable()) thread_.join();
  }

  // What it does once that is `state` in `call`; after some seconds, whatever it does.
  OsThread::Look Await(State state, const std::string& call) const {
    const int64_t end_ns = Clock::Monotonic()->NowNs() + 10 * kNanosecondsPerSecond;
    for (;;) {
      const OsThread::Look look = seen.LookAtIt();
      const bool is_it = look.state == state && (state != State::kWaits || look.call == call);
      if (is_it || Clock::Monotonic()->NowNs() > end_ns) return look;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  OsThread seen;

 private:
  std::thread thread_;
};

TEST(OsThreadTest, BeforeItIsKnownThereIsNothingToTell) {
  const OsThread thread;
  EXPECT_EQ(thread.id(), 0);
  EXPECT_EQ(thread.CpuNs(), 0);
  EXPECT_EQ(thread.stack_size_bytes(), 0u);
  EXPECT_EQ(thread.LookAtIt().state, State::kUnknown);
}

TEST(OsThreadTest, AWaitIsToldWithItsCallAndDescriptor) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  {
    const Someone reader([&] {
      char byte;
      EXPECT_EQ(recv(ends[0], &byte, 1, 0), 1);
    });
    const OsThread::Look look = reader.Await(State::kWaits, "recv");
    EXPECT_EQ(look.state, State::kWaits);
    EXPECT_STREQ(look.call, "recv");
    EXPECT_EQ(look.fd, ends[0]);
    EXPECT_GT(look.stack_used_bytes, 0u);
    EXPECT_LT(look.stack_used_bytes, reader.seen.stack_size_bytes());
    EXPECT_EQ(write(ends[1], "x", 1), 1);
  }
  close(ends[0]);
  close(ends[1]);
}

TEST(OsThreadTest, WhoComputesRunsAndIsCharged) {
  std::atomic<bool> stop{false};
  const Someone worker([&] {
    while (!stop.load()) {
    }
  });
  EXPECT_EQ(worker.Await(State::kRuns, "").state, State::kRuns);
  const int64_t end_ns = Clock::Monotonic()->NowNs() + 10 * kNanosecondsPerSecond;
  while (worker.seen.CpuNs() < 20 * kNanosecondsPerMillisecond && Clock::Monotonic()->NowNs() < end_ns) {
    std::this_thread::yield();
  }
  EXPECT_GE(worker.seen.CpuNs(), 20 * kNanosecondsPerMillisecond);
  stop.store(true);
}

TEST(OsThreadTest, AccountsBeginWhereItSays) {
  const Someone worker([&] {
    const int64_t end_ns = Clock::Monotonic()->NowNs() + 50 * kNanosecondsPerMillisecond;
    while (Clock::Monotonic()->NowNs() < end_ns) std::this_thread::yield();
    OsThread self;
    self.BecomeCurrent();
    EXPECT_GT(self.CpuNs(), 0);
    self.BeginAccounts();
    EXPECT_LT(self.CpuNs(), 10 * kNanosecondsPerMillisecond);
  });
}

TEST(OsThreadTest, AWaitForANamedWordHasThatName) {
  static std::atomic<uint32_t> words[2] = {};
  OsThread::NameWaits(words, sizeof(words[0]), "the word");
  for (const int which : {0, 1}) {
    const Someone waiter([&] {
      while (words[which].load() == 0) FutexWait(words[which], 0u);
    });
    const char* const name = which == 0 ? "the word" : "futex";
    EXPECT_STREQ(waiter.Await(State::kWaits, name).call, name);
    words[which].store(1);
    FutexWake(&words[which]);
  }
  OsThread::NameWaits(nullptr, 0, nullptr);
}

}  // namespace
}  // namespace greenring
