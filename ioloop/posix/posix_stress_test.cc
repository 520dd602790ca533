// Everything at once, at random, on a real ring: semaphores, mutexes, conditions and rwlocks that green threads share
// with OS threads, pipes, sleeps, cancellations and forks. What must hold however it goes: nobody is in a lock with
// anybody whom it keeps out, what a condition announces arrives, every byte sent is received, a child of fork can lock
// what is free and unlock what it held, and all of it comes to its end: no wake is lost.
//
// One seed a round; a failure prints it. To replay, or to try others:
//   bazel run //ioloop/posix:posix_stress_test -- --seed=N [--seeds=COUNT]
// OS threads run as they like: a seed gives the same decisions, not the same interleaving.
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "ioloop/posix/lock_test_util.h"
#include "ioloop/posix/posix_world.h"

namespace greenring::posix {
namespace {

uint32_t first_seed = 1;
uint32_t seed_count = 12;

// The world of one seed.
class StressWorld {
 public:
  explicit StressWorld(uint32_t seed) : seed_(seed) {
    sem_init(&semaphore_, 0, kPermits);
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&recursive_, &attributes);
    pthread_mutexattr_destroy(&attributes);
    EXPECT_EQ(pipe(pipe_), 0);
  }

  ~StressWorld() {
    close(pipe_[0]);
    close(pipe_[1]);
    pthread_mutex_destroy(&recursive_);
    sem_destroy(&semaphore_);
  }

  void Run() {
    std::vector<std::thread> threads;
    for (int i = 0; i < kOsThreads; ++i) threads.emplace_back([this, i] { Work(i, /*is_green=*/false); });
    for (int i = 0; i < kGreenThreads; ++i) {
      alive_.push_back(world_.Go([this, i] {
        Work(kOsThreads + i, /*is_green=*/true);
        alive_[i] = nullptr;
      }));
    }
    threads.emplace_back([this] { TakeTokens(70, /*is_green=*/false); });
    for (int who : {71, 72}) world_.Go([this, who] { TakeTokens(who, /*is_green=*/true); });
    world_.Go([this] { Send(); });
    world_.Go([this] { Receive(); });
    world_.Go([this] { Disturb(); });
    world_.RunAll();
    for (std::thread& thread : threads) thread.join();
  }

  void CheckEnd() {
    int value = -1;
    sem_getvalue(&semaphore_, &value);
    EXPECT_EQ(value, kPermits);
    EXPECT_EQ(tokens_, 0);
    EXPECT_EQ(taken_, kBytes);
    EXPECT_EQ(received_, kBytes);
    EXPECT_EQ(in_semaphore_.load() + in_mutex_.load() + in_recursive_.load() + readers_.load() + writers_.load(), 0);
    EXPECT_EQ(pthread_mutex_destroy(&mutex_), 0);
  }

 private:
  static constexpr int kOsThreads = 3, kGreenThreads = 8;
  static constexpr int kSteps = 120;
  static constexpr int kPermits = 2;
  static constexpr int kBytes = 400;
  static constexpr int kForks = 3;

  using Random = std::mt19937;

  // Lets others in between, in every way there is.
  void Breathe(Random* random, bool is_green) {
    switch ((*random)() % 6) {
      case 0:
        usleep((*random)() % 300);
        return;
      case 1:
        if (is_green) return world_.scheduler()->Yield();
        return std::this_thread::yield();
    }
  }

  timespec Soon(Random* random) {
    const int64_t instant_ns = NowNs(CLOCK_REALTIME) + static_cast<int64_t>((*random)() % 500'000);
    return {instant_ns / kNanosecondsPerSecond, instant_ns % kNanosecondsPerSecond};
  }

  void Work(int who, bool is_green) {
    Random random(seed_ * 100 + who);
    for (int step = 0; step < kSteps; ++step) {
      switch (random() % 4) {
        case 0:
          UseSemaphore(&random, is_green);
          break;
        case 1:
          UseMutex(&random, is_green);
          break;
        case 2:
          UseRecursiveMutex(&random, is_green);
          break;
        case 3:
          UseRwlock(&random, is_green);
          break;
      }
      Breathe(&random, is_green);
    }
  }

  void UseSemaphore(Random* random, bool is_green) {
    if ((*random)() % 2 == 0) {
      const timespec deadline = Soon(random);
      if (sem_timedwait(&semaphore_, &deadline) != 0) {
        EXPECT_EQ(errno, ETIMEDOUT);
        return;
      }
    } else {
      EXPECT_EQ(sem_wait(&semaphore_), 0);
    }
    EXPECT_LE(in_semaphore_.fetch_add(1) + 1, kPermits);
    Breathe(random, is_green);
    in_semaphore_.fetch_sub(1);
    EXPECT_EQ(sem_post(&semaphore_), 0);
  }

  void UseMutex(Random* random, bool is_green) {
    if ((*random)() % 2 == 0) {
      const timespec deadline = Soon(random);
      if (const int result = pthread_mutex_timedlock(&mutex_, &deadline); result != 0) {
        EXPECT_EQ(result, ETIMEDOUT);
        return;
      }
    } else {
      EXPECT_EQ(pthread_mutex_lock(&mutex_), 0);
    }
    EXPECT_EQ(in_mutex_.fetch_add(1), 0);
    Breathe(random, is_green);
    in_mutex_.fetch_sub(1);
    EXPECT_EQ(pthread_mutex_unlock(&mutex_), 0);
  }

  void UseRecursiveMutex(Random* random, bool is_green) {
    const int depth = 1 + (*random)() % 3;
    for (int i = 0; i < depth; ++i) EXPECT_EQ(pthread_mutex_lock(&recursive_), 0);
    EXPECT_EQ(in_recursive_.fetch_add(1), 0);
    Breathe(random, is_green);
    in_recursive_.fetch_sub(1);
    for (int i = 0; i < depth; ++i) EXPECT_EQ(pthread_mutex_unlock(&recursive_), 0);
  }

  void UseRwlock(Random* random, bool is_green) {
    if ((*random)() % 3 == 0) {
      EXPECT_EQ(pthread_rwlock_wrlock(&rwlock_), 0);
      EXPECT_EQ(writers_.fetch_add(1), 0);
      EXPECT_EQ(readers_.load(), 0);
      Breathe(random, is_green);
      writers_.fetch_sub(1);
    } else {
      EXPECT_EQ(pthread_rwlock_rdlock(&rwlock_), 0);
      readers_.fetch_add(1);
      EXPECT_EQ(writers_.load(), 0);
      Breathe(random, is_green);
      readers_.fetch_sub(1);
    }
    EXPECT_EQ(pthread_rwlock_unlock(&rwlock_), 0);
  }

  // Announces one token, to one of those who take.
  void BringToken(bool signal_inside) {
    pthread_mutex_lock(&condition_mutex_);
    ++tokens_;
    if (signal_inside) pthread_cond_signal(&condition_);
    pthread_mutex_unlock(&condition_mutex_);
    if (!signal_inside) pthread_cond_signal(&condition_);
  }

  // Takes tokens, together with others, until all have been taken: a signal that is lost is a hang.
  void TakeTokens(int who, bool is_green) {
    Random random(seed_ * 100 + who);
    pthread_mutex_lock(&condition_mutex_);
    while (taken_ < kBytes) {
      if (tokens_ == 0) {
        EXPECT_EQ(pthread_cond_wait(&condition_, &condition_mutex_), 0);
        continue;
      }
      --tokens_;
      if (++taken_ == kBytes) pthread_cond_broadcast(&condition_);
      pthread_mutex_unlock(&condition_mutex_);
      Breathe(&random, is_green);
      pthread_mutex_lock(&condition_mutex_);
    }
    pthread_mutex_unlock(&condition_mutex_);
  }

  void Send() {
    Random random(seed_ * 100 + 50);
    for (int i = 0; i < kBytes; ++i) {
      EXPECT_EQ(write(pipe_[1], "x", 1), 1);
      BringToken(random() % 2 == 0);
      Breathe(&random, /*is_green=*/true);
    }
  }

  void Receive() {
    char bytes[16];
    while (received_ < kBytes) {
      const ssize_t count = read(pipe_[0], bytes, sizeof(bytes));
      ASSERT_GT(count, 0);
      received_ += static_cast<int>(count);
    }
  }

  // Cancels and unparks whom it likes: no lock may notice. Forks, holding one.
  void Disturb() {
    Random random(seed_ * 100 + 60);
    for (int step = 0; step < kSteps; ++step) {
      if (green::GreenThread* victim = alive_[random() % alive_.size()]) {
        random() % 4 == 0 ? world_.scheduler()->Cancel(victim) : world_.scheduler()->Unpark(victim);
      }
      usleep(random() % 300);
      if (step % (kSteps / kForks) == 0) Fork();
    }
  }

  void Fork() {
    pthread_mutex_lock(&recursive_);
    const pid_t child = fork();
    if (child == 0) _exit(CheckChild());
    pthread_mutex_unlock(&recursive_);
    int status = 0;
    while (waitpid(child, &status, WNOHANG) == 0) usleep(500);
    EXPECT_EQ(WEXITSTATUS(status), 7) << "signal " << WTERMSIG(status);
  }

  // In the child of a green thread that holds the recursive mutex. What others held is theirs for ever.
  int CheckChild() {
    if (pthread_mutex_lock(&recursive_) != 0 || pthread_mutex_unlock(&recursive_) != 0) return 1;
    if (pthread_mutex_unlock(&recursive_) != 0) return 2;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
    if (pthread_mutex_lock(&mutex) != 0) return 3;
    const timespec past = {0, 0};
    if (pthread_cond_timedwait(&condition, &mutex, &past) != ETIMEDOUT) return 4;
    if (pthread_mutex_unlock(&mutex) != 0) return 5;
    sem_t semaphore;
    sem_init(&semaphore, 0, 0);
    return sem_post(&semaphore) == 0 && sem_wait(&semaphore) == 0 ? 7 : 6;
  }

  const uint32_t seed_;
  PosixWorld world_;
  std::vector<green::GreenThread*> alive_;  // nullptr: has ended
  sem_t semaphore_;
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_t recursive_;
  pthread_rwlock_t rwlock_ = PTHREAD_RWLOCK_INITIALIZER;
  pthread_mutex_t condition_mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t condition_ = PTHREAD_COND_INITIALIZER;
  int tokens_ = 0;
  int taken_ = 0;
  int pipe_[2];
  int received_ = 0;
  std::atomic<int> in_semaphore_{0}, in_mutex_{0}, in_recursive_{0}, readers_{0}, writers_{0};
};

TEST(PosixStressTest, NothingIsLostAndNobodyIsWhereAnotherIs) {
  for (uint32_t seed = first_seed; seed < first_seed + seed_count; ++seed) {
    SCOPED_TRACE("replay: bazel run //ioloop/posix:posix_stress_test -- --seeds=1 --seed=" + std::to_string(seed));
    StressWorld world(seed);
    world.Run();
    world.CheckEnd();
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace greenring::posix

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    if (std::strncmp(argv[i], "--seed=", 7) == 0) greenring::posix::first_seed = std::strtoul(argv[i] + 7, nullptr, 10);
    if (std::strncmp(argv[i], "--seeds=", 8) == 0) {
      greenring::posix::seed_count = std::strtoul(argv[i] + 8, nullptr, 10);
    }
  }
  return RUN_ALL_TESTS();
}
