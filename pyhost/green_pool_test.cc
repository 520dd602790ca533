#include "pyhost/green_pool.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "pyhost/gil.h"
#include "pyhost/interrupt.h"
#include "pyhost/py_ref.h"
#include "pyhost/python_error.h"
#include "pyhost/python_test.h"

namespace greenring::pyhost {
namespace {

// Runs a C++ function; tells what becomes of it.
class TestJob final : public GreenPool::Job {
 public:
  explicit TestJob(std::function<void()> function) : function_(std::move(function)) {}

  bool ran = false;
  bool ended = false;
  std::string cancelled;  // before it could run: by what

 private:
  void Run() override {
    ran = true;
    function_();
  }
  void CancelBeforeRun(PyObject* exception) override { cancelled = DescribeException(exception); }
  void OnEnded() override { ended = true; }
  const char* name() const override { return "test job"; }

  const std::function<void()> function_;
};

class GreenPoolTest : public PythonTest, public GreenPool::Observer {
 protected:
  void OnPoolEnded() override {
    ++ends_;
    scheduler_.Stop();
  }

  TestJob* NewJob(std::function<void()> function = [] {}) {
    return jobs_.emplace_back(std::make_unique<TestJob>(std::move(function))).get();
  }

  // Opens the pool, and runs `function` on a green thread beside it.
  void Run(const std::function<void()>& function) {
    pool_.Open();
    scheduler_.Spawn([&] {
      const ScopedPythonThread python;
      function();
    });
    const ScopedGilRelease release;
    scheduler_.Run(&poller_);
  }

  // Waits until a cancellation, and swallows it.
  void AwaitCancel(std::vector<std::string>* seen) {
    ASSERT_EQ(scheduler_.Park(), green::ParkResult::kCancelled);
    ASSERT_TRUE(Interruptible::Current()->RaisePending());
    const PyRef exception = TakeException();
    seen->push_back(DescribeException(exception.get()));
  }

  GreenPool pool_{&scheduler_, this};
  std::vector<std::unique_ptr<TestJob>> jobs_;
  int ends_ = 0;
};

TEST_F(GreenPoolTest, IdleGreenThreadsOfOtherSettingsEnd) {
  size_t live_idle = 0, live_after = 0;
  size_t stack_size_bytes = 0;
  Run([&] {
    NewJob();
    EXPECT_TRUE(GreenPool::Start(jobs_.back().get()).ok());
    while (!jobs_.back()->ended) scheduler_.Yield();
    scheduler_.Yield();
    live_idle = scheduler_.stats().live;
    scheduler_.SetSpawnSettings({.engine = green::Engine::kFcontext, .stack_size_bytes = 2 << 20});
    pool_.EndOutdated();
    scheduler_.Yield();
    scheduler_.Yield();
    live_after = scheduler_.stats().live;
    NewJob([&] { stack_size_bytes = scheduler_.current()->stack().size_bytes; });
    EXPECT_TRUE(GreenPool::Start(jobs_.back().get()).ok());
    pool_.Stop();
  });
  EXPECT_EQ(live_after, live_idle - 1);
  EXPECT_EQ(stack_size_bytes, size_t{2} << 20);
}

TEST_F(GreenPoolTest, OneThatWasNeverOpenedEndsAtOnce) {
  pool_.Stop();
  EXPECT_EQ(ends_, 1);
}

TEST_F(GreenPoolTest, OneWithoutJobsEndsWhenItIsStopped) {
  Run([&] { pool_.Stop(); });
  EXPECT_EQ(ends_, 1);
}

TEST_F(GreenPoolTest, EndsWhenItsLastJobHas) {
  TestJob* const last = NewJob();
  TestJob* const first = NewJob([&] { ASSERT_TRUE(GreenPool::Start(last).ok()); });  // jobs may start others until then
  Run([&] {
    ASSERT_TRUE(GreenPool::Start(first).ok());
    pool_.Stop();
    EXPECT_EQ(pool_.live_count(), 1u);
  });
  EXPECT_TRUE(last->ended);
  EXPECT_EQ(ends_, 1);
  EXPECT_FALSE(GreenPool::Start(NewJob()).ok());
}

TEST_F(GreenPoolTest, JobsRunOnGreenThreadsThatAreKept) {
  std::vector<const green::GreenThread*> threads;
  std::vector<uint64_t> ids;
  const auto note = [&] {
    threads.push_back(scheduler_.current());
    ids.push_back(scheduler_.current()->id());
    EXPECT_STREQ(scheduler_.current()->name(), "test job");
  };
  Run([&] {
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(GreenPool::Start(NewJob(note)).ok());
      scheduler_.Yield();
    }
    EXPECT_EQ(ScopedPythonThread::live_count(), 2u);  // ours and theirs
    pool_.Stop();
  });
  ASSERT_EQ(threads.size(), 3u);
  EXPECT_EQ(threads[0], threads[2]);
  EXPECT_LT(ids[0], ids[1]);
  EXPECT_LT(ids[1], ids[2]);
}

TEST_F(GreenPoolTest, NoMoreThanSoManyAreKeptIdle) {
  Run([&] {
    for (size_t i = 0; i < GreenPool::kIdleMax + 50; ++i) {
      ASSERT_TRUE(GreenPool::Start(NewJob([&] { scheduler_.Yield(); })).ok());
    }
    while (pool_.live_count() > 0) scheduler_.Yield();
    EXPECT_EQ(ScopedPythonThread::live_count(), GreenPool::kIdleMax + 1);
    pool_.Stop();
  });
}

TEST_F(GreenPoolTest, AJobThatHasNotBegunIsCancelledWithoutRunning) {
  TestJob* const job = NewJob();
  Run([&] {
    ASSERT_TRUE(GreenPool::Start(job).ok());
    EXPECT_TRUE(GreenPool::Cancel(job, "test"));
    scheduler_.Yield();
    EXPECT_TRUE(job->ended && !job->ran);
    EXPECT_EQ(job->cancelled, "greenring.Cancelled: test");
    EXPECT_FALSE(GreenPool::Cancel(job, "test"));
    pool_.Stop();
  });
}

TEST_F(GreenPoolTest, ACancelledWaitIsInterrupted) {
  std::vector<std::string> seen;
  TestJob* const job = NewJob([&] {
    AwaitCancel(&seen);
    AwaitCancel(&seen);
  });
  Run([&] {
    ASSERT_TRUE(GreenPool::Start(job).ok());
    for (const char* reason : {"first", "second"}) {
      scheduler_.Yield();
      EXPECT_TRUE(GreenPool::Cancel(job, reason));
    }
    pool_.Stop();
  });
  EXPECT_EQ(seen, (std::vector<std::string>{"greenring.Cancelled: first", "greenring.Cancelled: second"}));
}

TEST_F(GreenPoolTest, CancelAllReachesThoseThatWaitAndThoseThatHaveNotBegun) {
  std::vector<std::string> seen;
  TestJob* const waits = NewJob([&] { AwaitCancel(&seen); });
  TestJob* const starts = NewJob();
  Run([&] {
    ASSERT_TRUE(GreenPool::Start(waits).ok());
    scheduler_.Yield();
    ASSERT_TRUE(GreenPool::Start(starts).ok());
    pool_.Stop();
    pool_.CancelAll("draining");
    EXPECT_FALSE(GreenPool::Start(NewJob()).ok());
  });
  EXPECT_EQ(seen, std::vector<std::string>{"greenring.Cancelled: draining"});
  EXPECT_EQ(starts->cancelled, "greenring.Cancelled: draining");
  EXPECT_EQ(ends_, 1);
}

}  // namespace
}  // namespace greenring::pyhost
