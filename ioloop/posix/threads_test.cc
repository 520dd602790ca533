#include "ioloop/posix/threads.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "green/scheduler.h"
#include "gtest/gtest.h"
#include "ioloop/posix/posix_world.h"

namespace greenring::posix {
namespace {

green::Scheduler* Here() { return green::Scheduler::Current(); }

timespec After(clockid_t clock, int64_t duration_ns) {
  timespec time;
  clock_gettime(clock, &time);
  const int64_t ns = time.tv_nsec + duration_ns;
  return {time.tv_sec + ns / kNanosecondsPerSecond, ns % kNanosecondsPerSecond};
}

// Whether `address` lies in the stack that pthread_getattr_np tells for `thread`.
bool StackContains(pthread_t thread, const void* address) {
  pthread_attr_t attributes;
  EXPECT_EQ(pthread_getattr_np(thread, &attributes), 0);
  void* base;
  size_t size_bytes;
  pthread_attr_getstack(&attributes, &base, &size_bytes);
  pthread_attr_destroy(&attributes);
  return address >= base && address < static_cast<char*>(base) + size_bytes;
}

// Runs what its argument points to.
void* CallFunction(void* function) {
  (*static_cast<std::function<void*()>*>(function))();
  return function;
}

// The start routine that these tests have for green threads: the same, under an address of its own.
void* GreenStart(void* function) { return (*static_cast<std::function<void*()>*>(function))(); }

class ThreadsTest : public ::testing::Test {
 protected:
  ThreadsTest() { SetGreenStarts({.start_routine = &GreenStart}); }
  ~ThreadsTest() override { SetGreenStarts({}); }

  // A green thread on the caller's loop. `function` outlives it.
  static pthread_t StartGreen(std::function<void*()>* function, const pthread_attr_t* attributes = nullptr) {
    pthread_t thread = 0;
    EXPECT_EQ(pthread_create(&thread, attributes, &GreenStart, function), 0);
    return thread;
  }

  PosixWorld world_;
};

// ---- identity -----------------------------------------------------------------------------------------------------

TEST_F(ThreadsTest, EveryGreenThreadIsAThreadOfItsOwn) {
  const pthread_t os_thread = pthread_self();
  std::vector<pthread_t> seen;
  std::vector<std::thread::id> ids;
  for (int i = 0; i < 3; ++i) {
    world_.Go([&] {
      const pthread_t self = pthread_self();
      seen.push_back(self);
      ids.push_back(std::this_thread::get_id());
      Here()->Yield();
      EXPECT_TRUE(pthread_equal(pthread_self(), self));
    });
  }
  world_.RunAll();
  ASSERT_EQ(seen.size(), 3u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_NE(seen[i], os_thread);
    EXPECT_NE(seen[i], seen[(i + 1) % 3]);
    EXPECT_NE(ids[i], ids[(i + 1) % 3]);
  }
  EXPECT_EQ(pthread_self(), os_thread);
}

TEST_F(ThreadsTest, WhoPassesForTheOsThreadHasItsHandle) {
  const pthread_t os_thread = pthread_self();
  pthread_t inside = 0;
  world_.Go([&] { inside = pthread_self(); }, {.is_os_thread = true});
  world_.RunAll();
  EXPECT_EQ(inside, os_thread);
}

TEST_F(ThreadsTest, TheChildOfForkIsStillTheThreadThatForked) {
  int status = -1;
  world_.Run([&] {
    const pthread_t self = pthread_self();
    const pid_t child = fork();
    if (child == 0) _exit(pthread_self() == self ? 7 : 8);
    waitpid(child, &status, 0);
  });
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST_F(ThreadsTest, AttributesTellTheStackOfAGreenThread) {
  world_.Run([&] {
    int local;
    EXPECT_TRUE(StackContains(pthread_self(), &local));
    bool others = true;
    const pthread_t self = pthread_self();
    std::thread([&] { others = StackContains(self, &others); }).join();
    EXPECT_TRUE(others);
  });
}

TEST_F(ThreadsTest, AttributesTellTheStackOfWhoPassesForTheOsThread) {
  world_.Go(
      [&] {
        int local;
        EXPECT_TRUE(StackContains(pthread_self(), &local));
      },
      {.is_os_thread = true});
  world_.RunAll();
}

TEST_F(ThreadsTest, AttributesOfAnOsThreadAreItsOwn) {
  int local;
  EXPECT_TRUE(StackContains(pthread_self(), &local));
}

TEST_F(ThreadsTest, TheHandleOfAnEndedGreenThreadIsNobodys) {
  pthread_t ended = 0;
  world_.Go([&] { ended = pthread_self(); });
  world_.Go([&] {
    pthread_attr_t attributes;
    char name[16];
    EXPECT_EQ(pthread_kill(ended, 0), ESRCH);
    EXPECT_EQ(pthread_getattr_np(ended, &attributes), ESRCH);
    EXPECT_EQ(pthread_getname_np(ended, name, sizeof(name)), ESRCH);
  });
  world_.RunAll();
}

TEST_F(ThreadsTest, ScheduleClockAndNameOfAGreenThreadCanBeAsked) {
  world_.Go(
      [&] {
        const pthread_t self = pthread_self();
        cpu_set_t cpus;
        EXPECT_EQ(pthread_getaffinity_np(self, sizeof(cpus), &cpus), 0);
        EXPECT_GT(CPU_COUNT(&cpus), 0);
        EXPECT_EQ(pthread_setaffinity_np(self, sizeof(cpus), &cpus), 0);
        clockid_t clock;
        timespec time;
        EXPECT_EQ(pthread_getcpuclockid(self, &clock), 0);
        EXPECT_EQ(clock_gettime(clock, &time), 0);
        int policy;
        sched_param parameters;
        EXPECT_EQ(pthread_getschedparam(self, &policy, &parameters), 0);
        EXPECT_EQ(pthread_setschedparam(self, policy, &parameters), 0);
        EXPECT_EQ(pthread_setschedprio(self, parameters.sched_priority), 0);
        char name[16];
        EXPECT_EQ(pthread_getname_np(self, name, sizeof(name)), 0);
        EXPECT_STREQ(name, "a green thread ");  // what fits
        EXPECT_EQ(pthread_getname_np(self, name, sizeof(name) - 1), ERANGE);
        EXPECT_EQ(pthread_setname_np(self, "fifteen letters"), 0);
        EXPECT_EQ(pthread_setname_np(self, "sixteen letters!"), ERANGE);
        EXPECT_EQ(pthread_cancel(self), ENOTSUP);
      },
      {.name = "a green thread of the test"});
  world_.RunAll();
}

// ---- joining OS threads -------------------------------------------------------------------------------------------

TEST_F(ThreadsTest, JoiningAnOsThreadParks) {
  std::atomic<bool> may_end{false};
  bool joined = false;
  world_.Go([&] {
    std::function<void*()> function = [&]() -> void* {
      while (!may_end) sched_yield();
      return nullptr;
    };
    pthread_t thread;
    ASSERT_EQ(pthread_create(&thread, nullptr, &CallFunction, &function), 0);
    void* result = nullptr;
    EXPECT_EQ(pthread_join(thread, &result), 0);
    EXPECT_EQ(result, &function);
    joined = true;
  });
  world_.Go([&] {
    EXPECT_FALSE(joined);
    may_end = true;
  });
  world_.RunAll();
  EXPECT_TRUE(joined);
}

TEST_F(ThreadsTest, AnOsThreadThatExitsInTheMiddleIsJoined) {
  world_.Run([&] {
    std::function<void*()> function = [&]() -> void* { pthread_exit(&world_); };
    pthread_t thread;
    ASSERT_EQ(pthread_create(&thread, nullptr, &CallFunction, &function), 0);
    void* result = nullptr;
    EXPECT_EQ(pthread_join(thread, &result), 0);
    EXPECT_EQ(result, &world_);
  });
}

TEST_F(ThreadsTest, AJoinOfAnOsThreadKeepsItsDeadline) {
  world_.Run([&] {
    std::atomic<bool> may_end{false};
    std::thread thread([&] {
      while (!may_end) sched_yield();
    });
    EXPECT_EQ(pthread_tryjoin_np(thread.native_handle(), nullptr), EBUSY);
    for (clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC}) {
      const int64_t start_ns = Clock::Monotonic()->NowNs();
      const timespec deadline = After(clock, 20 * kNanosecondsPerMillisecond);
      EXPECT_EQ(pthread_clockjoin_np(thread.native_handle(), nullptr, clock, &deadline), ETIMEDOUT);
      EXPECT_GE(Clock::Monotonic()->NowNs() - start_ns, 19 * kNanosecondsPerMillisecond);
    }
    const timespec no_time = {0, kNanosecondsPerSecond};
    EXPECT_EQ(pthread_timedjoin_np(thread.native_handle(), nullptr, &no_time), EINVAL);
    may_end = true;
    thread.join();
  });
}

TEST_F(ThreadsTest, JoiningTheOsThreadThatOneRunsOnIsADeadlock) {
  const pthread_t os_thread = pthread_self();
  world_.Run([&] { EXPECT_EQ(pthread_join(os_thread, nullptr), EDEADLK); });
}

TEST_F(ThreadsTest, OsThreadsJoinEachOtherAsEver) {
  int result = 0;
  std::thread([&] { std::thread([&] { result = 1; }).join(); }).join();
  EXPECT_EQ(result, 1);
}

// ---- started green threads ----------------------------------------------------------------------------------------

TEST_F(ThreadsTest, OnlyTheStartRoutineOfGreenThreadsMakesThem) {
  world_.Run([&] {
    green::Scheduler* here = Here();
    green::Scheduler* seen = nullptr;
    std::function<void*()> function = [&]() -> void* { return seen = Here(); };
    EXPECT_EQ(pthread_join(StartGreen(&function), nullptr), 0);
    EXPECT_EQ(seen, here);
    pthread_t thread;
    ASSERT_EQ(pthread_create(&thread, nullptr, &CallFunction, &function), 0);
    EXPECT_EQ(pthread_join(thread, nullptr), 0);
    EXPECT_EQ(seen, nullptr);
  });
}

TEST_F(ThreadsTest, OutsideALoopTheStartRoutineMakesAnOsThread) {
  std::function<void*()> function = [&]() -> void* { return Here(); };
  void* scheduler = this;
  EXPECT_EQ(pthread_join(StartGreen(&function), &scheduler), 0);
  EXPECT_EQ(scheduler, nullptr);
}

TEST_F(ThreadsTest, AGreenThreadJoinsAGreenThread) {
  world_.Run([&] {
    std::string order;
    pthread_t inside = 0;
    std::function<void*()> function = [&]() -> void* {
      inside = pthread_self();
      Here()->Yield();
      order += "end ";
      return &order;
    };
    const pthread_t thread = StartGreen(&function);
    EXPECT_EQ(pthread_tryjoin_np(thread, nullptr), EBUSY);
    void* result = nullptr;
    EXPECT_EQ(pthread_join(thread, &result), 0);
    order += "joined";
    EXPECT_EQ(result, &order);
    EXPECT_EQ(inside, thread);
    EXPECT_EQ(order, "end joined");
  });
}

TEST_F(ThreadsTest, AnOsThreadJoinsAGreenThread) {
  void* result = nullptr;
  world_.Run([&] {
    std::atomic<bool> joining{false};
    std::function<void*()> function = [&]() -> void* {
      while (!joining) Here()->Yield();
      return &world_;
    };
    const pthread_t thread = StartGreen(&function);
    std::thread joiner([&] {
      joining = true;
      EXPECT_EQ(pthread_join(thread, &result), 0);
    });
    joiner.join();
  });
  EXPECT_EQ(result, &world_);
}

TEST_F(ThreadsTest, AnOsThreadThatIsCancelledWhileItJoinsLeavesTheThreadJoinable) {
  world_.Run([&] {
    bool may_end = false;
    std::function<void*()> function = [&]() -> void* {
      while (!may_end) Here()->Yield();
      return nullptr;
    };
    const pthread_t thread = StartGreen(&function);
    std::function<void*()> joining = [&]() -> void* {
      pthread_join(thread, nullptr);  // where it is cancelled
      return nullptr;
    };
    pthread_t joiner;
    ASSERT_EQ(pthread_create(&joiner, nullptr, &CallFunction, &joining), 0);
    EXPECT_EQ(pthread_tryjoin_np(thread, nullptr), EBUSY);
    EXPECT_EQ(pthread_cancel(joiner), 0);
    void* result = nullptr;
    EXPECT_EQ(pthread_join(joiner, &result), 0);
    EXPECT_EQ(result, PTHREAD_CANCELED);
    may_end = true;
    EXPECT_EQ(pthread_join(thread, nullptr), 0);
  });
}

TEST_F(ThreadsTest, AnEndedGreenThreadIsJoinedAlthoughItsPlaceIsTaken) {
  world_.Run([&] {
    std::function<void*()> first = [&]() -> void* { return &first; };
    std::function<void*()> second = [&]() -> void* { return &second; };
    const pthread_t first_thread = StartGreen(&first);
    Here()->Yield();
    const pthread_t second_thread = StartGreen(&second);
    EXPECT_NE(first_thread, second_thread);
    Here()->Yield();
    EXPECT_EQ(pthread_kill(first_thread, 0), 0);
    void* result = nullptr;
    EXPECT_EQ(pthread_join(first_thread, &result), 0);
    EXPECT_EQ(result, &first);
    EXPECT_EQ(pthread_join(second_thread, &result), 0);
    EXPECT_EQ(result, &second);
  });
}

TEST_F(ThreadsTest, JoinsThatCannotBeAreErrors) {
  world_.Run([&] {
    bool may_end = false;
    std::function<void*()> function = [&]() -> void* {
      EXPECT_EQ(pthread_join(pthread_self(), nullptr), EDEADLK);
      while (!may_end) Here()->Yield();
      return nullptr;
    };
    const pthread_t thread = StartGreen(&function);
    const timespec deadline = After(CLOCK_MONOTONIC, 10 * kNanosecondsPerMillisecond);
    EXPECT_EQ(pthread_clockjoin_np(thread, nullptr, CLOCK_MONOTONIC, &deadline), ETIMEDOUT);
    EXPECT_EQ(pthread_clockjoin_np(thread, nullptr, CLOCK_PROCESS_CPUTIME_ID, &deadline), EINVAL);
    world_.Go([&, thread] { EXPECT_EQ(pthread_join(thread, nullptr), 0); });
    Here()->Yield();
    EXPECT_EQ(pthread_join(thread, nullptr), EINVAL);  // somebody does
    EXPECT_EQ(pthread_detach(thread), EINVAL);
    may_end = true;
    while (pthread_kill(thread, 0) == 0) Here()->Yield();
    EXPECT_EQ(pthread_join(thread, nullptr), ESRCH);
    EXPECT_EQ(pthread_detach(thread), ESRCH);
    EXPECT_EQ(pthread_join(pthread_self(), nullptr), EDEADLK);  // of a pool, not started
    EXPECT_EQ(pthread_detach(pthread_self()), EINVAL);
  });
}

TEST_F(ThreadsTest, ADetachedGreenThreadCleansUpAfterItself) {
  world_.Run([&] {
    int ended = 0;
    std::function<void*()> function = [&]() -> void* {
      ++ended;
      return nullptr;
    };
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    const pthread_t born_detached = StartGreen(&function, &detached);
    pthread_attr_destroy(&detached);
    const pthread_t detached_alive = StartGreen(&function);
    EXPECT_EQ(pthread_detach(detached_alive), 0);
    EXPECT_EQ(pthread_join(detached_alive, nullptr), EINVAL);
    const pthread_t detached_ended = StartGreen(&function);
    Here()->Yield();
    EXPECT_EQ(pthread_detach(detached_ended), 0);
    EXPECT_EQ(ended, 3);
    for (pthread_t thread : {born_detached, detached_alive, detached_ended}) {
      EXPECT_EQ(pthread_kill(thread, 0), ESRCH);
    }
  });
}

TEST_F(ThreadsTest, AJoinIsNotEndedByCancel) {
  world_.Run([&] {
    green::GreenThread* joiner = Here()->current();
    std::function<void*()> function = [&]() -> void* {
      Here()->Cancel(joiner);
      Here()->Yield();
      return &function;
    };
    void* result = nullptr;
    EXPECT_EQ(pthread_join(StartGreen(&function), &result), 0);
    EXPECT_EQ(result, &function);
    Here()->ClearCancel();
  });
}

TEST_F(ThreadsTest, ExitUnwindsAGreenThread) {
  struct Note {
    ~Note() { *order += text; }
    std::string* order;
    const char* text;
  };
  world_.Run([&] {
    std::string order;
    std::function<void*()> function = [&]() -> void* {
      Note outer{&order, "outer "};
      try {
        Note inner{&order, "inner "};
        pthread_exit(&order);
      } catch (...) {
        order += "caught ";
        throw;
      }
    };
    void* result = nullptr;
    EXPECT_EQ(pthread_join(StartGreen(&function), &result), 0);
    EXPECT_EQ(result, &order);
    EXPECT_EQ(order, "inner caught outer ");
  });
}

TEST_F(ThreadsTest, KeysOfAGreenThreadAreDestroyedBeforeItIsJoined) {
  static int destroyed;
  destroyed = 0;
  pthread_key_t key;
  ASSERT_EQ(pthread_key_create(&key, [](void*) { ++destroyed; }), 0);
  world_.Run([&] {
    std::function<void*()> function = [&]() -> void* {
      pthread_setspecific(key, &function);
      pthread_exit(nullptr);
    };
    EXPECT_EQ(pthread_join(StartGreen(&function), nullptr), 0);
    EXPECT_EQ(destroyed, 1);
  });
  pthread_key_delete(key);
}

TEST_F(ThreadsTest, ManyGreenThreadsAreStartedAndJoinedByManyThreads) {
  constexpr int kThreads = 64;
  std::atomic<int> joined{0};
  world_.Run([&] {
    std::function<void*()> function = [&]() -> void* {
      Here()->Yield();
      return nullptr;
    };
    for (int round = 0; round < 4; ++round) {
      std::vector<pthread_t> threads;
      for (int i = 0; i < kThreads; ++i) threads.push_back(StartGreen(&function));
      std::thread joiner([&] {
        for (int i = 0; i < kThreads; i += 2) joined += pthread_join(threads[i], nullptr) == 0;
      });
      for (int i = 1; i < kThreads; i += 2) joined += pthread_join(threads[i], nullptr) == 0;
      joiner.join();
    }
  });
  EXPECT_EQ(joined, 4 * kThreads);
}

TEST_F(ThreadsTest, InTheChildOfForkAGreenThreadEndsTheProcess) {
  int status_of_return = -1;
  int status_of_exit = -1;
  int status_of_join = -1;
  world_.Run([&] {
    std::function<void*()> returning = [&]() -> void* {
      const pid_t child = fork();
      if (child == 0) {
        std::atexit([] { _exit(7); });
      } else {
        waitpid(child, &status_of_return, 0);
      }
      return nullptr;
    };
    std::function<void*()> exiting = [&]() -> void* {
      const pid_t child = fork();
      if (child == 0) {
        std::atexit([] { _exit(7); });
        pthread_exit(nullptr);
      }
      waitpid(child, &status_of_exit, 0);
      return nullptr;
    };
    bool may_end = false;
    std::function<void*()> staying = [&]() -> void* {
      while (!may_end) Here()->Yield();
      return nullptr;
    };
    EXPECT_EQ(pthread_join(StartGreen(&returning), nullptr), 0);
    EXPECT_EQ(pthread_join(StartGreen(&exiting), nullptr), 0);
    const pthread_t stays = StartGreen(&staying);
    const pid_t child = fork();
    if (child == 0) _exit(pthread_join(stays, nullptr));
    waitpid(child, &status_of_join, 0);
    may_end = true;
    EXPECT_EQ(pthread_join(stays, nullptr), 0);
  });
  EXPECT_EQ(WEXITSTATUS(status_of_return), 7);
  EXPECT_EQ(WEXITSTATUS(status_of_exit), 7);
  EXPECT_EQ(WEXITSTATUS(status_of_join), ESRCH);
}

TEST_F(ThreadsTest, ExitOfAGreenThreadThatNobodyStartedLeavesTheOthersRunning) {
  const pid_t child = fork();
  if (child == 0) {
    PosixWorld world;
    world.Go([] { pthread_exit(nullptr); });
    world.Go([] { _exit(7); });
    world.RunAll();
    _exit(8);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST_F(ThreadsTest, ASignalToAGreenThreadGoesToItsOsThread) {
  static std::atomic<pthread_t> ran_on;
  ran_on = 0;
  const pthread_t os_thread = pthread_self();
  struct sigaction before;
  struct sigaction action = {};
  action.sa_handler = [](int) { ran_on = pthread_self(); };
  ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
  world_.Go(
      [&] {
        const pthread_t core = pthread_self();
        EXPECT_EQ(core, os_thread);
        std::function<void*()> function = [&]() -> void* {
          while (ran_on == 0) Here()->Yield();
          return nullptr;
        };
        const pthread_t thread = StartGreen(&function);
        EXPECT_EQ(pthread_kill(thread, 65), EINVAL);
        std::thread([&] { EXPECT_EQ(pthread_kill(thread, SIGUSR1), 0); }).join();
        EXPECT_EQ(pthread_join(thread, nullptr), 0);
      },
      {.is_os_thread = true});
  world_.RunAll();
  EXPECT_NE(ran_on, pthread_t{0});
  sigaction(SIGUSR1, &before, nullptr);
}

// ---- learning a start routine -------------------------------------------------------------------------------------

TEST_F(ThreadsTest, ACaptureNotesTheStartRoutineOfItsOwnThread) {
  std::function<void*()> function = []() -> void* { return nullptr; };
  StartCapture capture;
  std::thread([&] {
    pthread_t thread;
    ASSERT_EQ(pthread_create(&thread, nullptr, &GreenStart, &function), 0);
    pthread_join(thread, nullptr);
  }).join();
  EXPECT_NE(capture.kind().start_routine, &GreenStart);  // std::thread's own, if any
  pthread_t thread;
  ASSERT_EQ(pthread_create(&thread, nullptr, &CallFunction, &function), 0);
  EXPECT_EQ(capture.kind().start_routine, &CallFunction);
  pthread_join(thread, nullptr);
}

TEST_F(ThreadsTest, OneStartRoutineMayServeSeveralKinds) {
  struct Record {
    const void* kind;
    bool ran_green;
  };
  const StartRoutine start = [](void* argument) -> void* {
    static_cast<Record*>(argument)->ran_green = green::GreenThread::Current() != nullptr;
    return nullptr;
  };
  int green_kind, other_kind;
  Record green_record{&green_kind, false}, other_record{&other_kind, true};
  SetGreenStarts({.start_routine = start, .first_word = &green_kind});
  world_.Run([&] {
    for (Record* record : {&green_record, &other_record}) {
      pthread_t thread;
      ASSERT_EQ(pthread_create(&thread, nullptr, start, record), 0);
      EXPECT_EQ(pthread_join(thread, nullptr), 0);
    }
  });
  EXPECT_TRUE(green_record.ran_green);
  EXPECT_FALSE(other_record.ran_green);
}

}  // namespace
}  // namespace greenring::posix
