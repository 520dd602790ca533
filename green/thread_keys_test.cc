#include "green/thread_keys.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>

#include <string>
#include <thread>
#include <vector>

#include "green/scheduler.h"
#include "gtest/gtest.h"

namespace greenring::green {
namespace {

std::vector<std::string> destroyed;
pthread_key_t reset_key;
int resets = 0;

void Record(void* value) { destroyed.push_back(static_cast<const char*>(value)); }

// Sets its key again each time: pthreads gives up after a bounded number of rounds.
void SetAgain(void* value) {
  ++resets;
  pthread_setspecific(reset_key, value);
}

class ThreadKeysTest : public ::testing::Test {
 protected:
  void SetUp() override {
    destroyed.clear();
    resets = 0;
    ASSERT_EQ(pthread_key_create(&key_, &Record), 0);
  }
  void TearDown() override { EXPECT_EQ(pthread_key_delete(key_), 0); }

  void RunToEnd() {
    while (scheduler_.stats().live > 0) scheduler_.RunReady();
  }

  std::string Value() const {
    const void* value = pthread_getspecific(key_);
    return value != nullptr ? static_cast<const char*>(value) : "";
  }

  Scheduler scheduler_;
  pthread_key_t key_;
};

TEST_F(ThreadKeysTest, GreenThreadsAndTheLoopEachSeeTheirOwnValue) {
  EXPECT_EQ(pthread_setspecific(key_, "loop"), 0);
  for (const char* name : {"a", "b"}) {
    scheduler_.Spawn([this, name] {
      EXPECT_EQ(Value(), "");
      EXPECT_EQ(pthread_setspecific(key_, name), 0);
      scheduler_.Yield();
      EXPECT_EQ(Value(), name);
    });
  }
  RunToEnd();
  EXPECT_EQ(Value(), "loop");
  pthread_setspecific(key_, nullptr);
}

TEST_F(ThreadKeysTest, OtherOsThreadsKeepTheirOwnValues) {
  std::thread other([this] {
    pthread_setspecific(key_, "other");
    EXPECT_EQ(Value(), "other");
  });
  other.join();
  EXPECT_EQ(destroyed, std::vector<std::string>{"other"});
  EXPECT_EQ(Value(), "");
}

TEST_F(ThreadKeysTest, DestructorsRunWhenTheGreenThreadEnds) {
  scheduler_.Spawn([this] {
    pthread_setspecific(key_, "first");
    pthread_setspecific(key_, "last");
  });
  scheduler_.Spawn([this] {
    pthread_setspecific(key_, "taken back");
    pthread_setspecific(key_, nullptr);
  });
  RunToEnd();
  EXPECT_EQ(destroyed, std::vector<std::string>{"last"});
}

TEST_F(ThreadKeysTest, ARecycledGreenThreadStartsWithoutValues) {
  scheduler_.Spawn([this] { pthread_setspecific(key_, "old"); });
  RunToEnd();
  scheduler_.Spawn([this] { EXPECT_EQ(Value(), ""); });
  RunToEnd();
}

TEST_F(ThreadKeysTest, DestructorsThatSetTheirKeyAgainAreBounded) {
  ASSERT_EQ(pthread_key_create(&reset_key, &SetAgain), 0);
  scheduler_.Spawn([] { pthread_setspecific(reset_key, "again"); });
  RunToEnd();
  EXPECT_EQ(resets, PTHREAD_DESTRUCTOR_ITERATIONS);
  pthread_key_delete(reset_key);
}

TEST_F(ThreadKeysTest, ADeletedKeysValueIsNotSeenByTheKeyThatReusesItsPlace) {
  scheduler_.Spawn([] {
    pthread_key_t reused;
    ASSERT_EQ(pthread_key_create(&reused, &Record), 0);
    pthread_setspecific(reused, "stale");
    pthread_key_delete(reused);
    pthread_key_t next;
    ASSERT_EQ(pthread_key_create(&next, &Record), 0);
    EXPECT_EQ(next, reused);
    EXPECT_EQ(pthread_getspecific(next), nullptr);
    pthread_key_delete(next);
  });
  RunToEnd();
  EXPECT_TRUE(destroyed.empty());
}

TEST_F(ThreadKeysTest, ManyKeysHoldTheirValues) {
  scheduler_.Spawn([] {
    std::vector<pthread_key_t> keys(100);
    std::vector<int> values(keys.size());
    for (size_t i = 0; i < keys.size(); ++i) {
      ASSERT_EQ(pthread_key_create(&keys[i], nullptr), 0);
      ASSERT_EQ(pthread_setspecific(keys[i], &values[i]), 0);
    }
    for (size_t i = 0; i < keys.size(); ++i) EXPECT_EQ(pthread_getspecific(keys[i]), &values[i]);
    for (pthread_key_t key : keys) pthread_key_delete(key);
  });
  RunToEnd();
}

// What a shared library's reference resolves to is what the dynamic linker finds first in the program's global scope.
TEST_F(ThreadKeysTest, SharedLibrariesCallOurFunctions) {
  const std::pair<const char*, void*> functions[] = {
      {"pthread_key_create", reinterpret_cast<void*>(&pthread_key_create)},
      {"pthread_key_delete", reinterpret_cast<void*>(&pthread_key_delete)},
      {"pthread_getspecific", reinterpret_cast<void*>(&pthread_getspecific)},
      {"pthread_setspecific", reinterpret_cast<void*>(&pthread_setspecific)},
  };
  void* c_library = dlopen("libc.so.6", RTLD_NOLOAD | RTLD_NOW);
  ASSERT_NE(c_library, nullptr);
  for (const auto& [name, ours] : functions) {
    EXPECT_EQ(dlsym(RTLD_DEFAULT, name), ours) << name;
    EXPECT_NE(dlsym(c_library, name), ours) << name;
  }
  dlclose(c_library);
}

}  // namespace
}  // namespace greenring::green
