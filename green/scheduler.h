// The scheduler of one OS thread's green threads: run queue, park and unpark, timers, and the door for other threads.
//
//   Scheduler scheduler({.stack_size_bytes = 256 * 1024});
//   scheduler.Spawn([&] {
//     scheduler.Park(Clock::Monotonic()->NowNs() + kNanosecondsPerSecond);    // until Unpark, or for a second
//     scheduler.Stop();
//   });
//   scheduler.Run(&poller);                     // on the OS thread that becomes the scheduler's
//
// Rules
//   1. A green thread never migrates: it runs on the OS thread that called Run.
//   2. The scheduler is cooperative: a green thread runs until it parks, yields or ends.
//   3. Unpark gives a permit, at most one is kept: an Unpark before the Park is not lost. A Park may therefore return
//      without its reason being there yet; whoever parks for a condition checks it again (the types in sync/ do).
//   4. Park, Yield and the end of a green thread switch directly to the next runnable green thread, and to the loop
//      (Run's own stack) only when there is none, or when kSwitchesPerPollMax switches have passed since the last poll.
//   5. Everything here is for the scheduler's own OS thread, except what says Thread-safe.
//
// Saved across a switch: callee-saved registers, errno, the C++ exception state (__cxa_eh_globals), and what the
// SwitchHook saves. Not saved: the signal mask, floating-point control words (ucontext), other thread_local data.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/intrusive_list.h"
#include "base/ticks.h"
#include "green/context.h"
#include "green/green_thread.h"
#include "green/park_counts.h"
#include "green/stack_slab.h"
#include "green/switch_hook.h"
#include "green/thread_stock.h"
#include "green/timer_queue.h"

namespace greenring::green {

// The scheduler's whole view of the world outside; the event loop implements it (ioloop/event_loop.h), and so does
// testing/sim_poller.h. Called on the scheduler's OS thread, in the loop's context, except Wake.
class Poller {
 public:
  virtual ~Poller() = default;

  // One turn: hands queued operations to the kernel, waits for completions until `deadline_ns` (0: does not wait;
  // kNeverNs: without limit) or a Wake, and delivers them; deliveries only unpark and queue.
  virtual void Poll(int64_t deadline_ns) = 0;

  // Makes a Poll that waits, or the next one, return. Thread-safe.
  virtual void Wake() = 0;
};

// Work that waits for a green thread to take it up: asked when the run queue has run dry, before the loop is polled;
// and once a poll while it does not, because green threads yield all the time.
class WorkSource {
 public:
  // May spawn or unpark green threads. In any context; never parks.
  virtual void Refill() = 0;

 protected:
  ~WorkSource() = default;
};

class LockWatch;

struct SchedulerOptions {
  Engine engine = Engine::kUcontext;  // these two as in SpawnSettings, until SetSpawnSettings
  size_t stack_size_bytes = kDefaultStackSizeBytes;
  Clock* clock = Clock::Monotonic();
};

struct SpawnOptions {
  const char* name = "green";  // for dumps; must outlive the green thread

  // It passes for the OS thread that it runs on: pthread_self and pthread keys are the OS thread's own. For what has to
  // be a process's main thread; one at a time in a scheduler (checked).
  bool is_os_thread = false;

  // Other ones than the scheduler's.
  std::optional<SpawnSettings> settings = std::nullopt;
};

// Counted since the start; read on the scheduler's thread.
struct SchedulerStats {
  uint64_t spawned = 0;
  uint64_t switches = 0;
  uint64_t turns = 0;
  uint64_t remote_unparks = 0;
  uint64_t overflows = 0;  // of stacks, whatever came of them
  size_t abandoned = 0;    // not live any more
  size_t live = 0;
};

// Code of the runtime that a stack overflow must not leave in the middle: a green thread that overflows in a section is
// abandoned (stack_overflow.h) when it has left its last one. Short, and shallow: it is lent kGuardLentBytes. Nests.
//
//   const RuntimeSection section(GreenThread::Current());
class RuntimeSection {
 public:
  // `thread` is the running one, or nullptr: no effect.
  explicit RuntimeSection(GreenThread* thread) : thread_(thread) {
    if (thread_ != nullptr) ++thread_->section_depth_;
  }
  ~RuntimeSection() {
    if (thread_ != nullptr && --thread_->section_depth_ == 0 && thread_->abandon_due_) [[unlikely]]
      Abandon();
  }
  RuntimeSection(const RuntimeSection&) = delete;
  RuntimeSection& operator=(const RuntimeSection&) = delete;

 private:
  [[noreturn]] void Abandon();

  GreenThread* const thread_;
};

class Scheduler {
 public:
  explicit Scheduler(const SchedulerOptions& options = {});

  // No green thread may be left (checked).
  ~Scheduler();

  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // The scheduler whose Run is on this OS thread's stack; nullptr elsewhere. Thread-safe. Never parks.
  static Scheduler* Current() { return current_scheduler_; }

  // The green thread that runs now; nullptr in the loop's context. Never parks.
  GreenThread* current() const { return current_; }

  // Makes a green thread that will run `function()` and appends it to the run queue. The handle is valid until the
  // function has returned. RESOURCE_EXHAUSTED goes unreported here: no memory for a stack is a CHECK; reserve ahead
  // with Reserve where that matters. About 50 ns on a recycled stack. Never parks.
  template <typename F>
  GreenThread* Spawn(F&& function, const SpawnOptions& options = {});

  // Gives `thread`, which begins something new, an id that none has had before; returns it. Never parks.
  uint64_t RenewId(GreenThread* thread) { return thread->id_ = ++last_id_; }

  // Maps stacks for `count` green threads of the current settings now, so that later Spawns cannot fail.
  absl::Status Reserve(size_t count) { return stock_->slab.Reserve(count); }
  absl::Status Reserve(size_t count, const SpawnSettings& settings) { return StockOf(settings)->slab.Reserve(count); }

  // What green threads are made of that are spawned from now on; those alive keep their engine and stack, and all
  // switch to each other. The stack of one that has other settings is unmapped soon after its end; so are those kept
  // for reuse. A size that StackSlab allows (checked). Never parks.
  void SetSpawnSettings(const SpawnSettings& settings);
  const SpawnSettings& spawn_settings() const { return stock_->settings; }

  // Whether `thread` is made as one that is spawned now would be. Never parks.
  bool IsCurrentMake(const GreenThread& thread) const { return thread.stock_ == stock_; }

  // Runs green threads and polls until Stop. Green threads that are then still alive stay parked; Run may be called
  // again. On the thread that owns the scheduler from now on.
  void Run(Poller* poller);

  // Makes Run return after the current turn. Never parks.
  void Stop();

  // Until when a poll may wait: 0 if a green thread is runnable, work is waiting or Stop was called; else the earliest
  // timer's instant. For pollers whose own callbacks change that before they wait. Never parks.
  int64_t WaitDeadlineNs();

  // Runs the run queue until it is empty, or for kSwitchesPerPollMax switches. From the loop's context only; for tests
  // and for hosts that own the loop.
  void RunReady();

  // Has the loop polled after the current green thread's turn, although others may be runnable: much waits for it. They
  // go on after that. In the loop's context, where the poll is next anyway, it has no effect. Never parks.
  void PollSoon() { switches_left_ = 0; }

  // Suspends the current green thread until Unpark, `deadline_ns` or Cancel. Parks.
  ParkResult Park(int64_t deadline_ns = kNeverNs);

  // As Park, but Cancel does not end it (it stays pending): for waits that the kernel has to answer first. Parks.
  ParkResult ParkUncancellable(int64_t deadline_ns = kNeverNs);

  // Lets every other runnable green thread run first. Parks.
  void Yield();

  // For one that has run for long: the same, and the loop is polled before it runs again. Those that yielded so come
  // back one by one, each when kQuietTurns in a row have had nothing else to run (but not after more than
  // kTurnsPassedOverMax turns): whoever waits for I/O waits for one of them, not for all. Parks.
  void YieldToLoop();

  // Makes `thread` runnable, or leaves it the permit for its next Park. Never parks.
  void Unpark(GreenThread* thread);

  // The same from any OS thread. The caller guarantees that `thread` lives until then. Thread-safe. Never parks.
  void UnparkRemote(GreenThread* thread);

  // Ends the Park that `thread` is in, or its next one, with kCancelled; and every later one until ClearCancel.
  // Never parks.
  void Cancel(GreenThread* thread);

  // The current green thread takes note of its cancellation: later Parks wait again. Never parks.
  void ClearCancel();

  // Takes a Cancel of `thread` back. A Park that it has ended, whose caller has not run since, was unparked for no
  // reason instead. Never parks.
  void WithdrawCancel(GreenThread* thread);

  // Calls `timer`'s function at `deadline_ns` in the loop's context (never on a green thread). Timer is owned by the
  // caller and must be removed or fired before it dies. Never parks.
  void AddTimer(Timer* timer, int64_t deadline_ns) {
    const RuntimeSection section(current_);
    timers_.Add(timer, deadline_ns);
  }
  void RemoveTimer(Timer* timer) {
    const RuntimeSection section(current_);
    timers_.Remove(timer);
  }

  // The current green thread has done what overflowed its stack, if anything did: the reserve is closed, and the host
  // undoes what it did. Every switch does the same once the green thread is back in the upper three quarters of its
  // stack. Never parks.
  void LeaveReserve() {
    if (current_->reserve_open_) [[unlikely]]
      CloseReserve(current_);
  }

  // `observer` is called with every green thread that was abandoned, when its owner has been told; in the loop's
  // context. Before Run.
  void SetAbandonedObserver(GreenThread::AbandonedFunction observer, void* argument) {
    abandoned_observer_ = observer;
    abandoned_observer_argument_ = argument;
  }

  // Gives pages back that `thread`, the current one, has used when it went deep (StackSlab::Trim). Never parks.
  void TrimStack(GreenThread* thread) { thread->stock_->slab.Trim(thread->stack_); }

  // About all stacks there were: a system call for each that there is. `size_bytes` is that of the current settings.
  StackReport ReportStacks() const;

  // How much of its stack `thread`, which is parked, runnable or the current one, uses now. Never parks.
  size_t StackUseBytes(const GreenThread& thread) const;

  // At most one, for the scheduler's life; before the first switch.
  void SetSwitchHook(SwitchHook* hook) { hook_ = hook; }

  // At most one, before Run.
  void SetWorkSource(WorkSource* source) { work_source_ = source; }

  // Who is told of waits for locks (lock_cycles.h); nullptr: nobody.
  LockWatch* lock_watch() const { return lock_watch_; }
  void SetLockWatch(LockWatch* watch) { lock_watch_ = watch; }

  // The green thread that passes for the OS thread; nullptr if there is none. Thread-safe and async-signal-safe.
  GreenThread* os_thread() const { return os_thread_.load(std::memory_order_acquire); }

  // The OS thread that called Run last; 0: none yet. Thread-safe.
  pthread_t runs_on() const { return runs_on_.load(std::memory_order_relaxed); }

  // Calls `function(thread)` for every green thread that has not ended, in no particular order. It must not park.
  template <typename F>
  void ForEach(F function) const {
    for (GreenThread* thread = ever_; thread != nullptr; thread = thread->next_ever_) {
      if (thread->state() != GreenThread::State::kFree) function(thread);
    }
  }

  // What accounts are kept in: the processor's counter, or the nanoseconds of a clock that is not the system's.
  uint64_t NowTicks() const { return counts_ticks_ ? Ticks::Now() : static_cast<uint64_t>(clock_->NowNs()); }
  int64_t TicksToNs(uint64_t ticks) const { return counts_ticks_ ? Ticks::ToNs(ticks) : static_cast<int64_t>(ticks); }

  // When the green thread that runs now was switched in, or the loop.
  uint64_t switched_at_ticks() const { return switched_at_ticks_; }

  Engine engine() const { return stock_->settings.engine; }
  Clock* clock() const { return clock_; }
  StackSlab* slab() { return &stock_->slab; }  // of the current settings
  const SchedulerStats& stats() const { return stats_; }

  // Parks that waited, but for those of green threads that had nothing to do.
  const ParkCounts& park_counts() const { return park_counts_; }

  // After this many switches the loop is polled even if green threads are still runnable: they cannot starve I/O.
  static constexpr int kSwitchesPerPollMax = 256;

  // So many turns go to others before one that has yielded to the loop has its own.
  static constexpr int kTurnsPassedOverMax = 8;

  // After one, what a delivery has only queued (the first read of a connection that was just accepted) is not done yet;
  // that takes another turn, of a microsecond.
  static constexpr int kQuietTurns = 2;

 private:
  friend class GreenThread;
  friend class RuntimeSection;
  friend class StackOverflow;

  GreenThread* NewThread(const SpawnOptions& options);
  GreenThread* MakeThread(ThreadStock* stock);
  ThreadStock* StockOf(const SpawnSettings& settings);
  void Destroy(GreenThread* thread);
  void DestroyFree(ThreadStock* stock);
  void DestroyRetired();
  void ReleaseStocks();
  void Enqueue(GreenThread* thread);
  void Wake(GreenThread* thread, ParkResult result);
  bool SomethingRunnable();
  bool IsTurnOfYielded();
  // `from` is parked, queued or ended; nullptr for the loop. Returns when it is switched in again.
  void SwitchToNext(GreenThread* from);
  void Switch(GreenThread* from, GreenThread* to);
  void Finish(GreenThread* thread);
  ParkResult ParkInternal(int64_t deadline_ns, bool cancellable);
  void CloseReserve(GreenThread* thread);
  [[noreturn]] void AbandonCurrent();
  void TellOwners();
  void DrainRemote();
  void FireTimers();
  static void ThreadMain(void* argument);

  static inline constinit thread_local Scheduler* current_scheduler_ = nullptr;

  Clock* const clock_;
  const bool counts_ticks_ = clock_ == Clock::Monotonic();
  std::vector<std::unique_ptr<ThreadStock>> stocks_;
  ThreadStock* stock_;          // the current one
  StackReport earlier_stacks_;  // of stocks that are gone
  TimerQueue timers_;
  IntrusiveList<GreenThread> run_queue_;
  IntrusiveList<GreenThread> yielded_to_loop_;  // runnable too
  int turns_passed_over_ = 0;                   // in which nobody of those has run
  int quiet_turns_ = 0;                         // of these the last ones, which had nothing to run
  GreenThread* current_ = nullptr;
  uint64_t switched_at_ticks_ = 0;
  GreenThread* ever_ = nullptr;     // every control block, linked by GreenThread::next_ever_
  GreenThread* leaving_ = nullptr;  // who was current before: until the switch is done, the stack is still its
  GreenThread::AbandonedFunction abandoned_observer_ = nullptr;
  void* abandoned_observer_argument_ = nullptr;
  GreenThread* abandoned_ = nullptr;  // whose owners have not been told
  GreenThread* retired_ = nullptr;    // ended green threads of other settings, which nobody will use again
  SwitchHook* hook_ = nullptr;
  WorkSource* work_source_ = nullptr;
  LockWatch* lock_watch_ = nullptr;
  Context loop_context_;
  SavedThreadState loop_saved_;
  int switches_left_ = 0;
  bool stop_ = false;
  uint64_t last_id_ = 0;
  SchedulerStats stats_;
  ParkCounts park_counts_;

  // The door: a stack of green threads that other OS threads unparked, linked by GreenThread::remote_next_.
  std::atomic<GreenThread*> remote_head_{nullptr};
  std::atomic<Poller*> poller_{nullptr};
  std::atomic<GreenThread*> os_thread_{nullptr};
  std::atomic<pthread_t> runs_on_{0};
};

inline GreenThread* GreenThread::Current() {
  const Scheduler* scheduler = Scheduler::Current();
  return scheduler != nullptr ? scheduler->current() : nullptr;
}

// ---- implementation of the template -------------------------------------------------------------------------------

template <typename F>
GreenThread* Scheduler::Spawn(F&& function, const SpawnOptions& options) {
  using Function = std::decay_t<F>;
  static_assert(sizeof(Function) <= GreenThread::kFunctionBytesMax && alignof(Function) <= alignof(std::max_align_t),
                "the function object lives in the green thread's control block: capture a pointer to big state");
  GreenThread* thread = NewThread(options);
  new (thread->function_storage_) Function(std::forward<F>(function));
  thread->invoke_ = [](void* storage) {
    Function* stored = static_cast<Function*>(storage);
    (*stored)();
    stored->~Function();
  };
  Enqueue(thread);
  return thread;
}

}  // namespace greenring::green
