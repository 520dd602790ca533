// Tests of the module `greenring`: Python code on green threads, with a pool for those that it starts.
//
//   class HandleTest : public ModuleTest {};
//   TEST_F(HandleTest, ...) {
//     Run("handle = greenring.go(f)\nassert handle.result() == 1\n");      // until everything it started has ended
//   }
//
// Code runs in the test's own globals, with `greenring` imported and `log`, an empty list, in them. An exception, or an
// assert that fails, is the test's failure.
#pragma once

#include <cstdint>
#include <string>

#include "pyhost/gil.h"
#include "pyhost/green_pool.h"
#include "pyhost/module/module.h"
#include "pyhost/python_test.h"

namespace greenring::pyhost {

class ModuleTest : public PythonTest, private GreenPool::Observer {
 protected:
  static void SetUpTestSuite() {
    static const bool registered = [] {
      RegisterModule();
      return true;
    }();
    ASSERT_TRUE(registered);
    PythonTest::SetUpTestSuite();
  }

  void SetUp() override {
    PythonTest::SetUp();
    Execute("import greenring\nfrom greenring import *\nlog = []\n");
  }

  // On a green thread, until that and all it has started have ended.
  void Run(const std::string& source) {
    GreenPool pool(&scheduler_, this);
    pool_ = &pool;
    pool.Open();
    scheduler_.Spawn([&] {
      {
        const ScopedPythonThread python;
        Execute(source);
      }
      pool.Stop();
    });
    {
      const ScopedGilRelease release;
      scheduler_.Run(&poller_);
    }
    EXPECT_EQ(pool.live_count(), 0u);
    pool_ = nullptr;
  }

  // `statements`, indented by two, leave no object behind however often they run.
  void ExpectNoLeak(const std::string& definitions, const std::string& statements) {
    const std::string source =
        definitions + "for _ in range(500):\n" + statements + "del log[:]\nimport gc\ngc.collect()\n";
    // CPython's free lists and its cycle collector move: what leaks grows by 500 or more every time.
    int64_t grown = INT64_MAX;
    for (int i = 0; i < 6 && grown > 100; ++i) {
      const int64_t before = AllocatedBlocks();
      Run(source);
      grown = AllocatedBlocks() - before;
    }
    EXPECT_LE(grown, 100) << source;
  }

  GreenPool* pool() { return pool_; }

 private:
  void OnPoolEnded() override { scheduler_.Stop(); }

  GreenPool* pool_ = nullptr;
};

}  // namespace greenring::pyhost
