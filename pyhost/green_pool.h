// Green threads for functions that Python code starts (greenring.go): each runs on one of its own, from a pool that
// keeps them with their Python states.
//
//   GreenPool pool(&scheduler, &observer);       // before the application is imported: what that starts waits
//   pool.Open();                                 // it runs from here on; GIL held, before Scheduler::Run
//   GreenPool::Start(&job);                      // GIL held; runs when the current green thread parks or yields
//   pool.Stop();                                 // observer.OnPoolEnded() when every job has ended
//
// To make a thread state costs CPython several microseconds and 16 KiB, so an ended job's green thread waits for the
// next job: last in, first out, at most kIdleMax of them. Like a thread of a thread pool it keeps its threading.local
// data. The number of jobs has no limit but memory.
//
// Jobs may be started and cancelled by any OS thread that holds the GIL; what does not come from the scheduler's own is
// handed over to it. There is one pool in a process. All else: scheduler's thread only.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "base/intrusive_list.h"
#include "green/scheduler.h"
#include "pyhost/interrupt.h"
#include "pyhost/python.h"

namespace greenring::pyhost {

class GreenPool {
 private:
  struct Runner;

 public:
  // One function to run. Whoever makes it keeps it until OnEnded.
  class Job : public ListLink {
   public:
    Job() = default;
    Job(const Job&) = delete;
    Job& operator=(const Job&) = delete;

    // The green thread it runs on; nullptr before and after.
    const green::GreenThread* thread() const { return thread_; }

    // The identifier of the green thread it was given; 0 before.
    uint64_t id() const { return id_; }

   protected:
    ~Job() = default;

   private:
    friend class GreenPool;

    // Raises Cancelled in it.
    class Cancellation final : public Interrupt {
     public:
      PyObject* NewException() override;

      const char* reason = "";
    };

    enum class State : uint8_t {
      kNew,
      kWaiting,  // for the pool to open, or to be handed over by another OS thread
      kStarting,
      kRunning,
      kEnded,
    };

    // Does the work. On a green thread of its own, GIL held; leaves no Python error. Parks.
    virtual void Run() = 0;

    // It was cancelled before it could run: Run is not called. As Run.
    virtual void CancelBeforeRun(PyObject* exception) = 0;

    // The pool has done with it; it may die here. As Run.
    virtual void OnEnded() = 0;

    // For dumps; lives until OnEnded.
    virtual const char* name() const = 0;

    State state_ = State::kNew;
    bool cancel_asked_ = false;  // before it ran, or by another OS thread
    green::GreenThread* thread_ = nullptr;
    uint64_t id_ = 0;
    Cancellation cancellation_;
  };

  class Observer {
   public:
    // After Stop: all jobs and green threads of the pool have ended. On the last of them. Never parks.
    virtual void OnPoolEnded() = 0;

   protected:
    ~Observer() = default;
  };

  GreenPool(green::Scheduler* scheduler, Observer* observer);

  // All have ended, or the process ends without them.
  ~GreenPool();

  GreenPool(const GreenPool&) = delete;
  GreenPool& operator=(const GreenPool&) = delete;

  // Jobs run from here on, those that were started before first. GIL held, before Scheduler::Run.
  void Open();

  // The one of this process; nullptr before Open, at the end, and in the child of a fork. GIL held.
  static GreenPool* open_pool() { return in_forked_child_ ? nullptr : open_pool_; }

  // This process was made by fork, on one of its parent's threads: that one goes on, and no green thread but it.
  static bool in_forked_child() { return in_forked_child_; }

  // Has `job` run, or wait for Open. UNAVAILABLE: the worker ends, or this is the child of a fork; RESOURCE_EXHAUSTED:
  // no memory for a stack. Any OS thread, GIL held. Never parks.
  static absl::Status Start(Job* job);

  // Raises Cancelled, with that `reason` (a literal, one of greenring.pyi's), in `job` where it waits or computes; one
  // that has not begun does not run at all. False: it has ended. Any OS thread, GIL held. Never parks.
  static bool Cancel(Job* job, const char* reason);

  // The pool ends when every job has ended; jobs may start others until then. Never parks.
  void Stop();

  // Cancels all jobs; none is started after it. Never parks.
  void CancelAll(const char* reason);

  // After Scheduler::SetSpawnSettings: idle green threads of other settings end; the others when their job has. Never
  // parks.
  void EndOutdated();

  // Jobs that have not ended. Thread-safe.
  size_t live_count() const { return job_count_.load(std::memory_order_relaxed); }

  static constexpr size_t kIdleMax = 256;

 private:
  bool OnOwnThread() const { return green::Scheduler::Current() == scheduler_; }
  absl::Status Begin(Job* job);
  void CancelHere(Job* job);
  void HandOver(Job* job);
  void DoErrands();

  void ServeErrands();
  void RunJobs(Job* first);
  void RunOne(Runner* runner);
  bool AwaitJob(Runner* runner);
  void CloseIfDone();
  void OnThreadEnded();
  static void OnAbandoned(green::GreenThread* thread, void* runner);
  void EndLost(Job* job);

  static inline constinit GreenPool* open_pool_ = nullptr;
  static inline constinit bool in_forked_child_ = false;

  green::Scheduler* const scheduler_;
  Observer* const observer_;
  green::GreenThread* errands_thread_ = nullptr;
  IntrusiveList<Runner> live_;
  Runner* idle_ = nullptr;  // last in, first out
  size_t idle_count_ = 0;
  size_t thread_count_ = 0;
  std::vector<Job*> lost_;  // whose stacks overflowed; to be ended by the errands thread, which has the GIL
  bool stopping_ = false;
  std::atomic<const char*> cancel_all_reason_{nullptr};  // CancelAll was called

  // Changed with the GIL held only: other OS threads start jobs too.
  std::atomic<size_t> job_count_{0};
  bool closed_ = false;  // nothing is started any more
};

}  // namespace greenring::pyhost
