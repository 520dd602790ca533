// What is noted of a wait while it lasts, call by call.
#include <pthread.h>
#include <semaphore.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <functional>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/sanitizers.h"
#include "base/unique_fd.h"
#include "green/inspection.h"
#include "green/lock_holders.h"
#include "green/scheduler.h"
#include "gtest/gtest.h"
#include "ioloop/posix/lock_test_util.h"
#include "ioloop/posix/lock_wait.h"
#include "ioloop/posix/posix_world.h"

#if GREENRING_TSAN
// Mutexes are unlocked here by other green threads than have locked them.
extern "C" const char* __tsan_default_options() { return "report_mutex_bugs=0"; }
#endif

namespace greenring::posix {
namespace {

using green::LockHolders;
using green::ThreadInfo;
using green::WaitNote;

class WaitNotesTest : public ::testing::Test {
 protected:
  // How a green thread that runs `wait` looks when it has been parked for a while; `end` lets it go.
  ThreadInfo InfoOf(std::function<void()> wait, std::function<void()> end) {
    std::optional<ThreadInfo> info;
    const green::GreenThread* const waiter = world_.Go([&] {
      wait();
      EXPECT_EQ(green::GreenThread::Current()->wait_note().call, nullptr);
      EXPECT_EQ(green::GreenThread::Current()->wait_note().since_ticks, 0u);
    });
    waiter_id_ = waiter->id();
    world_.Go([&] {
      SleepMs(20);
      info = green::Inspect(*waiter);
      end();
    });
    world_.RunAll();
    EXPECT_EQ(info->state, green::GreenThread::State::kParked);
    EXPECT_GE(info->since_ns, 10 * kMs);
    EXPECT_LT(info->since_ns, 10'000 * kMs);
    return *info;
  }

  PosixWorld world_;
  uint64_t waiter_id_ = 0;
};

TEST_F(WaitNotesTest, AReceiveKnowsItsDescriptor) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  const UniqueFd here(pair[0]), there(pair[1]);
  char byte;
  const ThreadInfo info =
      InfoOf([&] { EXPECT_EQ(recv(here.get(), &byte, 1, 0), 1); }, [&] { send(there.get(), "x", 1, 0); });
  EXPECT_STREQ(info.wait.call, "recv");
  EXPECT_EQ(info.wait.fd, here.get());
}

TEST_F(WaitNotesTest, APollOfOneDescriptorKnowsIt) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const UniqueFd reader(ends[0]), writer(ends[1]);
  pollfd asked = {reader.get(), POLLIN, 0};
  const ThreadInfo info =
      InfoOf([&] { EXPECT_EQ(poll(&asked, 1, 5000), 1); }, [&] { EXPECT_EQ(write(writer.get(), "x", 1), 1); });
  EXPECT_STREQ(info.wait.call, "poll");
  EXPECT_EQ(info.wait.fd, reader.get());
  EXPECT_NE(info.deadline_ns, kNeverNs);
}

TEST_F(WaitNotesTest, ASleepKnowsItsEnd) {
  const int64_t begin_ns = Clock::Monotonic()->NowNs();
  const ThreadInfo info = InfoOf([] { usleep(100'000); }, [] {});
  EXPECT_STREQ(info.wait.call, "usleep");
  EXPECT_GE(info.deadline_ns, begin_ns + 100 * kMs);
}

TEST_F(WaitNotesTest, AMutexKnowsTheGreenThreadThatHasIt) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  uint64_t holder_id = 0;
  world_.Run([&] {
    pthread_mutex_lock(&mutex);
    holder_id = green::GreenThread::Current()->id();
  });
  const ThreadInfo info = InfoOf([&] { pthread_mutex_lock(&mutex); }, [&] { pthread_mutex_unlock(&mutex); });
  EXPECT_STREQ(info.wait.call, "pthread_mutex_lock");
  EXPECT_EQ(info.wait.object, &mutex);
  EXPECT_EQ(info.wait.kind, WaitNote::Kind::kLock);
  EXPECT_EQ(info.holder.green_thread_id(), holder_id);
  EXPECT_EQ(LockHolders::Of(&mutex).green_thread_id(), waiter_id_);
  pthread_mutex_unlock(&mutex);
  EXPECT_FALSE(LockHolders::Of(&mutex).is_known());
}

TEST_F(WaitNotesTest, ATryThatSucceedsMakesAHolder) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  sem_t semaphore;
  sem_init(&semaphore, 0, 1);
  world_.Run([&] {
    const uint64_t self = green::GreenThread::Current()->id();
    EXPECT_EQ(pthread_mutex_trylock(&mutex), 0);
    EXPECT_EQ(LockHolders::Of(&mutex).green_thread_id(), self);
    EXPECT_EQ(sem_trywait(&semaphore), 0);
    EXPECT_EQ(LockHolders::Of(&semaphore).green_thread_id(), self);
    EXPECT_EQ(sem_trywait(&semaphore), -1);
    sem_post(&semaphore);
    EXPECT_FALSE(LockHolders::Of(&semaphore).is_known());
    pthread_mutex_unlock(&mutex);
  });
  sem_destroy(&semaphore);
}

TEST_F(WaitNotesTest, ASemaphoreThatIsHandedOverHasItsNewHolder) {
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  const ThreadInfo info =
      InfoOf([&] { EXPECT_EQ(sem_wait(&semaphore), 0); }, [&] { EXPECT_EQ(sem_post(&semaphore), 0); });
  EXPECT_STREQ(info.wait.call, "sem_wait");
  EXPECT_EQ(info.wait.object, &semaphore);
  EXPECT_FALSE(info.holder.is_known());
  EXPECT_EQ(LockHolders::Of(&semaphore).green_thread_id(), waiter_id_);
  sem_post(&semaphore);
  sem_destroy(&semaphore);
}

TEST_F(WaitNotesTest, AnOsThreadIsAHolderToo) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&mutex);  // here no scheduler runs
  EXPECT_EQ(LockHolders::Of(&mutex).os_thread_id(), OsThreadId());
  const ThreadInfo info = InfoOf(
      [&] {
        timespec soon = InMs(CLOCK_REALTIME, 60);
        EXPECT_EQ(pthread_mutex_timedlock(&mutex, &soon), ETIMEDOUT);
      },
      [] {});
  EXPECT_STREQ(info.wait.call, "pthread_mutex_timedlock");
  EXPECT_EQ(info.holder.os_thread_id(), OsThreadId());
  EXPECT_EQ(info.holder.green_thread_id(), 0u);
  pthread_mutex_unlock(&mutex);
}

TEST_F(WaitNotesTest, AReaderKnowsTheWriter) {
#if GREENRING_TSAN
  GTEST_SKIP() << "unlocked by another green thread than has locked it, which TSan always tells of read-write locks";
#endif
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  uint64_t writer_id = 0;
  world_.Run([&] {
    pthread_rwlock_wrlock(&lock);
    writer_id = green::GreenThread::Current()->id();
  });
  const ThreadInfo info = InfoOf([&] { pthread_rwlock_rdlock(&lock); }, [&] { pthread_rwlock_unlock(&lock); });
  EXPECT_STREQ(info.wait.call, "pthread_rwlock_rdlock");
  EXPECT_EQ(info.holder.green_thread_id(), writer_id);
  EXPECT_FALSE(LockHolders::Of(&lock).is_known());
  pthread_rwlock_unlock(&lock);
}

TEST_F(WaitNotesTest, AConditionIsNoLock) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  const ThreadInfo info = InfoOf(
      [&] {
        pthread_mutex_lock(&mutex);
        pthread_cond_wait(&condition, &mutex);
        pthread_mutex_unlock(&mutex);
      },
      [&] { pthread_cond_signal(&condition); });
  EXPECT_STREQ(info.wait.call, "pthread_cond_wait");
  EXPECT_EQ(info.wait.object, &condition);
  EXPECT_EQ(info.wait.kind, WaitNote::Kind::kOther);
}

}  // namespace
}  // namespace greenring::posix
