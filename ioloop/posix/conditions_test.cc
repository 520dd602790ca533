#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "gtest/gtest.h"
#include "ioloop/posix/blocking_call.h"
#include "ioloop/posix/lock_test_util.h"
#include "ioloop/posix/posix_world.h"

namespace greenring::posix {
namespace {

class ConditionsTest : public ::testing::Test {
 protected:
  ~ConditionsTest() override {
    EXPECT_EQ(pthread_cond_destroy(&condition_), 0);
    EXPECT_EQ(pthread_mutex_destroy(&mutex_), 0) << "still locked";
  }

  void InitCondition(clockid_t clock, int shared = PTHREAD_PROCESS_PRIVATE) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, clock);
    pthread_condattr_setpshared(&attributes, shared);
    pthread_cond_init(&condition_, &attributes);
    pthread_condattr_destroy(&attributes);
  }

  void AwaitReady() {
    pthread_mutex_lock(&mutex_);
    ++waiting_;
    while (!ready_) EXPECT_EQ(pthread_cond_wait(&condition_, &mutex_), 0);
    --waiting_;
    pthread_mutex_unlock(&mutex_);
  }

  void MakeReady() {
    pthread_mutex_lock(&mutex_);
    ready_ = true;
    pthread_mutex_unlock(&mutex_);
    pthread_cond_broadcast(&condition_);
  }

  int waiting() {
    pthread_mutex_lock(&mutex_);
    const int waiting = waiting_;
    pthread_mutex_unlock(&mutex_);
    return waiting;
  }

  PosixWorld world_;
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t condition_ = PTHREAD_COND_INITIALIZER;
  bool ready_ = false;
  int waiting_ = 0;
};

TEST_F(ConditionsTest, WhoLeavesOneAloneIsToldOfEveryWaitOfAGreenThread) {
  static constinit int waits = 0;
  const timespec passed = {.tv_sec = 1, .tv_nsec = 0};
  const auto wait = [&] {
    pthread_mutex_lock(&mutex_);
    EXPECT_EQ(pthread_cond_timedwait(&condition_, &mutex_, &passed), ETIMEDOUT);
    pthread_mutex_unlock(&mutex_);
  };
  LeaveAlone({.begin = &condition_, .size_bytes = sizeof(condition_), .before_wait = [](const void*) { ++waits; }});
  wait();
  EXPECT_EQ(waits, 0) << "it is no green thread";
  world_.Run(wait);
  EXPECT_EQ(waits, 1);
  LeaveAlone({});
}

TEST_F(ConditionsTest, SignalLetsOneGreenThreadOnAndBroadcastAll) {
  int woken = 0;
  for (int i = 0; i < 4; ++i) {
    world_.Go([&] {
      pthread_mutex_lock(&mutex_);
      EXPECT_EQ(pthread_cond_wait(&condition_, &mutex_), 0);
      ++woken;
      EXPECT_EQ(pthread_mutex_unlock(&mutex_), 0);
    });
  }
  world_.Go([&] {
    pthread_cond_signal(&condition_);
    SleepMs(5);
    EXPECT_EQ(woken, 1);
    pthread_cond_broadcast(&condition_);
    SleepMs(5);
    EXPECT_EQ(woken, 4);
  });
  world_.RunAll();
}

TEST_F(ConditionsTest, TheMutexIsFreeDuringAWaitAndLockedAfterIt) {
  world_.Go([&] {
    pthread_mutex_lock(&mutex_);
    while (!ready_) pthread_cond_wait(&condition_, &mutex_);
    EXPECT_EQ(pthread_mutex_trylock(&mutex_), EBUSY);
    pthread_mutex_unlock(&mutex_);
  });
  world_.Go([&] {
    EXPECT_EQ(pthread_mutex_trylock(&mutex_), 0);
    ready_ = true;
    pthread_cond_signal(&condition_);
    pthread_mutex_unlock(&mutex_);
  });
  world_.RunAll();
}

TEST_F(ConditionsTest, AnOsThreadLetsGreenThreadsOn) {
  for (int i = 0; i < 3; ++i) world_.Go([&] { AwaitReady(); });
  world_.Go([&] { RunOnOsThread([&] { MakeReady(); }); });
  world_.RunAll();
  EXPECT_EQ(waiting_, 0);
}

TEST_F(ConditionsTest, AGreenThreadLetsOsThreadsOn) {
  std::thread threads[] = {std::thread([&] { AwaitReady(); }), std::thread([&] { AwaitReady(); })};
  world_.Run([&] {
    while (waiting() < 2) SleepMs(1);
    MakeReady();
  });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(waiting_, 0);
}

// A wait of an OS thread unlocks the mutex that a green thread is parked for.
TEST_F(ConditionsTest, AnOsThreadsWaitLetsAGreenThreadLockTheMutex) {
  std::thread thread;
  world_.Run([&] {
    pthread_mutex_lock(&mutex_);
    std::atomic<bool> parking{false};
    thread = std::thread([&] {
      pthread_mutex_lock(&mutex_);
      while (!parking.load()) std::this_thread::yield();
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      while (!ready_) pthread_cond_wait(&condition_, &mutex_);
      pthread_mutex_unlock(&mutex_);
    });
    pthread_mutex_unlock(&mutex_);
    for (;;) {  // until the OS thread has it
      if (pthread_mutex_trylock(&mutex_) == EBUSY) break;
      pthread_mutex_unlock(&mutex_);
      SleepMs(1);
    }
    parking.store(true);
    pthread_mutex_lock(&mutex_);
    ready_ = true;
    pthread_mutex_unlock(&mutex_);
    pthread_cond_signal(&condition_);
  });
  thread.join();
}

TEST_F(ConditionsTest, TimedWaitsEndAtTheirInstantWithTheMutexLocked) {
  const auto check = [&] {
    for (clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC}) {
      InitCondition(clock);
      pthread_mutex_lock(&mutex_);
      timespec deadline = InMs(clock, 20);
      EXPECT_EQ(pthread_cond_timedwait(&condition_, &mutex_, &deadline), ETIMEDOUT);
      EXPECT_TRUE(HasPassed(clock, deadline));
      EXPECT_EQ(pthread_mutex_trylock(&mutex_), EBUSY);
      deadline = InMs(clock, 20);
      EXPECT_EQ(pthread_cond_clockwait(&condition_, &mutex_, clock, &deadline), ETIMEDOUT);
      EXPECT_TRUE(HasPassed(clock, deadline));
      pthread_mutex_unlock(&mutex_);
    }
  };
  world_.Run(check);
  check();  // on an OS thread
}

TEST_F(ConditionsTest, ArgumentsThatMakeNoSenseAreRefusedWithTheMutexLocked) {
  world_.Run([&] {
    const timespec invalid = {0, -1};
    const timespec deadline = InMs(CLOCK_REALTIME, 20);
    pthread_mutex_lock(&mutex_);
    EXPECT_EQ(pthread_cond_timedwait(&condition_, &mutex_, &invalid), EINVAL);
    EXPECT_EQ(pthread_cond_clockwait(&condition_, &mutex_, CLOCK_PROCESS_CPUTIME_ID, &deadline), EINVAL);
    EXPECT_EQ(pthread_mutex_trylock(&mutex_), EBUSY);
    pthread_mutex_unlock(&mutex_);
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&mutex_, &attributes);
    EXPECT_EQ(pthread_cond_wait(&condition_, &mutex_), EPERM) << "not locked";
    pthread_mutex_init(&mutex_, nullptr);
  });
}

TEST_F(ConditionsTest, CancelDoesNotEndAWait) {
  green::GreenThread* waiting = world_.Go([&] { AwaitReady(); });
  bool woken_early = true;
  world_.Go([&] {
    world_.scheduler()->Cancel(waiting);
    SleepMs(5);
    woken_early = waiting_ == 0;
    MakeReady();
  });
  world_.RunAll();
  EXPECT_FALSE(woken_early);
}

TEST_F(ConditionsTest, ASignalHandlerEndsTheWaitOfTheMainGreenThread) {
  bool ended = false;
  world_.Go(
      [&] {
        pthread_mutex_lock(&mutex_);
        EXPECT_EQ(pthread_cond_wait(&condition_, &mutex_), 0);
        ended = true;
        pthread_mutex_unlock(&mutex_);
      },
      {.is_os_thread = true});
  world_.Go([&] { InterruptMainThread(Restart::kAsHandlerSays); });
  world_.RunAll();
  EXPECT_TRUE(ended);
}

// What FlagsOf of conditions.cc reads.
TEST_F(ConditionsTest, TheCLibraryKeepsTheClockAndWhoSharesWhereWeReadIt) {
  EXPECT_EQ(condition_.__data.__wrefs, 0u);
  InitCondition(CLOCK_MONOTONIC);
  EXPECT_EQ(condition_.__data.__wrefs, 2u);
  InitCondition(CLOCK_REALTIME, PTHREAD_PROCESS_SHARED);
  EXPECT_EQ(condition_.__data.__wrefs, 1u);
}

TEST_F(ConditionsTest, AnotherProcessLetsAGreenThreadOn) {
  struct Shared {
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    bool ready;
  };
  void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  Shared* shared = static_cast<Shared*>(memory);
  pthread_mutexattr_t mutex_attributes;
  pthread_mutexattr_init(&mutex_attributes);
  pthread_mutexattr_setpshared(&mutex_attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(&shared->mutex, &mutex_attributes);
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_cond_init(&shared->condition, &attributes);
  pid_t child = -1;
  world_.Go([&] {
    pthread_mutex_lock(&shared->mutex);
    while (!shared->ready) EXPECT_EQ(pthread_cond_wait(&shared->condition, &shared->mutex), 0);
    const timespec deadline = InMs(CLOCK_REALTIME, 10);
    int result = 0;
    while (result == 0) result = pthread_cond_timedwait(&shared->condition, &shared->mutex, &deadline);
    EXPECT_EQ(result, ETIMEDOUT);
    EXPECT_TRUE(HasPassed(CLOCK_REALTIME, deadline));
    pthread_mutex_unlock(&shared->mutex);
  });
  world_.Go([&] {
    child = fork();
    if (child == 0) {
      pthread_mutex_lock(&shared->mutex);
      shared->ready = true;
      pthread_mutex_unlock(&shared->mutex);
      _exit(pthread_cond_signal(&shared->condition));
    }
  });
  world_.RunAll();
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  munmap(memory, sizeof(Shared));
}

TEST_F(ConditionsTest, ACancelledOsThreadHasTheMutexInItsCleanup) {
  struct State {
    pthread_mutex_t* mutex;
    pthread_cond_t* condition;
    std::atomic<bool> locked{false};
    int unlocked = -1;
  } state{&mutex_, &condition_};
  pthread_t thread;
  ASSERT_EQ(pthread_create(
                &thread, nullptr,
                [](void* argument) -> void* {
                  struct Cleanup {
                    State* state;
                    ~Cleanup() { state->unlocked = pthread_mutex_unlock(state->mutex); }
                  };
                  State* state = static_cast<State*>(argument);
                  pthread_mutex_lock(state->mutex);
                  Cleanup cleanup{state};
                  state->locked.store(true);
                  for (;;) pthread_cond_wait(state->condition, state->mutex);
                },
                &state),
            0);
  while (!state.locked.load()) std::this_thread::yield();
  pthread_mutex_lock(&mutex_);  // it waits
  pthread_mutex_unlock(&mutex_);
  ASSERT_EQ(pthread_cancel(thread), 0);
  void* result = nullptr;
  ASSERT_EQ(pthread_join(thread, &result), 0);
  EXPECT_EQ(result, PTHREAD_CANCELED);
  EXPECT_EQ(state.unlocked, 0);
}

TEST_F(ConditionsTest, TheChildOfForkWaitsWithoutParking) {
  int status = -1;
  world_.Run([&] {
    const pid_t child = fork();
    if (child == 0) {
      pthread_mutex_lock(&mutex_);
      const timespec deadline = InMs(CLOCK_REALTIME, 10);
      if (pthread_cond_timedwait(&condition_, &mutex_, &deadline) != ETIMEDOUT) _exit(1);
      _exit(pthread_mutex_unlock(&mutex_) == 0 ? 7 : 2);
    }
    waitpid(child, &status, 0);
  });
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST_F(ConditionsTest, AQueueOfTheStandardLibraryWorksBetweenAllThreads) {
  constexpr int kItems = 500;
  std::mutex mutex;
  std::condition_variable condition;
  std::deque<int> items;
  int64_t sum = 0;
  const auto produce = [&] {
    for (int i = 1; i <= kItems; ++i) {
      std::lock_guard<std::mutex> lock(mutex);
      items.push_back(i);
      condition.notify_one();
    }
  };
  const auto consume = [&] {
    for (int i = 0; i < kItems; ++i) {
      std::unique_lock<std::mutex> lock(mutex);
      condition.wait(lock, [&] { return !items.empty(); });
      sum += items.front();
      items.pop_front();
    }
  };
  std::thread threads[] = {std::thread(consume), std::thread(produce)};
  world_.Go(consume);
  world_.Go(produce);
  world_.Go([&] {
    std::unique_lock<std::mutex> lock(mutex);
    EXPECT_FALSE(condition.wait_for(lock, std::chrono::milliseconds(5), [] { return false; }));
  });
  world_.Go(consume);
  world_.Go(produce);
  world_.RunAll();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sum, 3ll * kItems * (kItems + 1) / 2);
}

}  // namespace
}  // namespace greenring::posix
