#include "green/scheduler.h"

#include <cxxabi.h>
#include <errno.h>
#include <threads.h>

#include <atomic>

#include "base/check.h"
#include "green/thread_keys.h"

// See scheduler_stocks.cc.
extern "C" {
extern greenring::green::Scheduler* greenring_scheduler;
}

namespace greenring::green {
namespace {

// The layout that the Itanium C++ ABI (section 2.2.2) gives what __cxa_get_globals returns.
struct ExceptionGlobals {
  void* caught_exceptions;
  unsigned int uncaught_exceptions;
};

// Where this OS thread keeps what is saved: asked for once a turn, not at every switch.
struct RuntimeState {
  ExceptionGlobals* exceptions = nullptr;
  int* error_number = nullptr;
};
constinit thread_local RuntimeState runtime;

void FindRuntimeState() { runtime = {reinterpret_cast<ExceptionGlobals*>(abi::__cxa_get_globals()), &errno}; }

inline void Save(SavedThreadState* saved) {
  saved->caught_exceptions = runtime.exceptions->caught_exceptions;
  saved->uncaught_exceptions = runtime.exceptions->uncaught_exceptions;
  saved->error_number = *runtime.error_number;
}

inline void Restore(const SavedThreadState& saved) {
  runtime.exceptions->caught_exceptions = saved.caught_exceptions;
  runtime.exceptions->uncaught_exceptions = saved.uncaught_exceptions;
  *runtime.error_number = saved.error_number;
}

}  // namespace

GreenThread* Scheduler::NewThread(const SpawnOptions& options) {
  const RuntimeSection section(current_);
  ThreadStock* const stock = options.settings.has_value() ? StockOf(*options.settings) : stock_;
  GreenThread* thread = stock->free;
  if (thread != nullptr) {
    stock->free = thread->next_free_;
  } else {
    thread = MakeThread(stock);
  }
  ++stats_.spawned;
  thread->id_ = ++last_id_;
  thread->handle_ = reinterpret_cast<uintptr_t>(thread) | 1;
  thread->name_ = options.name;
  thread->host_data_ = nullptr;
  thread->host_record_ = nullptr;
  thread->permit_ = false;
  thread->cancel_pending_ = false;
  thread->saved_ = {};
  thread->wait_note_ = {};
  thread->run_ticks_ = 0;
  thread->switches_ = 0;
  thread->OnAbandoned(nullptr, nullptr);
  thread->is_os_thread_ = options.is_os_thread;
  if (options.is_os_thread) {
    GREENRING_CHECK(os_thread() == nullptr);
    os_thread_.store(thread, std::memory_order_release);
  }
  ++stats_.live;
  return thread;
}

void Scheduler::ThreadMain(void* argument) {
  GreenThread* thread = static_cast<GreenThread*>(argument);
  Scheduler* scheduler = thread->scheduler_;
  // The first switch ends here instead of in Switch.
  Restore(thread->saved_);
  if (scheduler->hook_ != nullptr) scheduler->hook_->OnSwitchIn(thread);
  for (;;) {
    thread->invoke_(thread->function_storage_);
    scheduler->Finish(thread);  // returns when the green thread is spawned anew
  }
}

void Scheduler::Finish(GreenThread* thread) {
  ThreadKeys::EndThread(thread);
  if (thread->is_os_thread_) os_thread_.store(nullptr, std::memory_order_release);
  thread->stock_->slab.Trim(thread->stack_);
  thread->MoveTo(GreenThread::State::kFree);
  GreenThread** const list = thread->stock_ == stock_ ? &stock_->free : &retired_;
  thread->next_free_ = *list;
  *list = thread;
  --stats_.live;
  SwitchToNext(thread);
}

void Scheduler::Enqueue(GreenThread* thread) {
  thread->MoveTo(GreenThread::State::kRunnable);
  thread->since_ticks_ = current_ != nullptr ? switched_at_ticks_ : NowTicks();
  run_queue_.PushBack(thread);
}

inline bool Scheduler::SomethingRunnable() {
  if (run_queue_.empty() && work_source_ != nullptr) work_source_->Refill();
  return !run_queue_.empty();
}

void Scheduler::SwitchToNext(GreenThread* from) {
  GreenThread* to = nullptr;
  if (switches_left_ > 0) {
    --switches_left_;
    to = SomethingRunnable() ? run_queue_.PopFront() : nullptr;
  }
  if (to != nullptr) to->MoveTo(GreenThread::State::kRunning);
  if (to != from) Switch(from, to);
}

void Scheduler::Switch(GreenThread* from, GreenThread* to) {
  Context* from_context = from != nullptr ? &from->context_ : &loop_context_;
  Context* to_context = to != nullptr ? &to->context_ : &loop_context_;
  SavedThreadState* saved = from != nullptr ? &from->saved_ : &loop_saved_;
  if (from != nullptr && from->reserve_open_) [[unlikely]]
    CloseReserve(from);
  if (from != nullptr && hook_ != nullptr) hook_->OnSwitchOut(from);
  Save(saved);
  leaving_ = from;
  current_ = to;
  ++stats_.switches;
  const uint64_t now_ticks = NowTicks();
  if (from != nullptr) {
    from->run_ticks_ += now_ticks - switched_at_ticks_;
    from->since_ticks_ = now_ticks;
  }
  if (to != nullptr) {
    to->since_ticks_ = now_ticks;
    ++to->switches_;
  }
  switched_at_ticks_ = now_ticks;
  SwitchContext(from_context, to_context);
  Restore(*saved);
  if (from == nullptr || hook_ == nullptr) return;
  // The hook may wait for a lock, and so park in its turn: what this Park has to tell must not be lost in there.
  const ParkResult park_result = from->park_result_;
  hook_->OnSwitchIn(from);
  from->park_result_ = park_result;
}

bool Scheduler::IsTurnOfYielded() {
  quiet_turns_ = SomethingRunnable() ? 0 : quiet_turns_ + 1;
  if (quiet_turns_ < kQuietTurns && ++turns_passed_over_ <= kTurnsPassedOverMax) return false;
  quiet_turns_ = turns_passed_over_ = 0;
  return true;
}

void Scheduler::RunReady() {
  GREENRING_CHECK(current_ == nullptr);
  Scheduler* const outer = current_scheduler_;
  current_scheduler_ = this;
  FindRuntimeState();
  // Green threads that do nothing but yield never let the run queue run dry: new work is not to wait for that.
  if (switches_left_ <= 0 && !run_queue_.empty() && work_source_ != nullptr) work_source_->Refill();
  switches_left_ = kSwitchesPerPollMax;
  if (!yielded_to_loop_.empty() && IsTurnOfYielded()) run_queue_.PushBack(yielded_to_loop_.PopFront());
  while (switches_left_ > 0 && SomethingRunnable()) {
    SwitchToNext(nullptr);
    if (abandoned_ != nullptr) [[unlikely]]
      TellOwners();
  }
  if (retired_ != nullptr) [[unlikely]]
    DestroyRetired();
  current_scheduler_ = outer;
}

void Scheduler::Run(Poller* poller) {
  GREENRING_CHECK(current_scheduler_ == nullptr);
  current_scheduler_ = this;
  runs_on_.store(thrd_current(), std::memory_order_relaxed);  // pthread_self may be a green thread's
  poller_.store(poller, std::memory_order_seq_cst);
  std::atomic_ref(greenring_scheduler).store(this, std::memory_order_relaxed);
  stop_ = false;
  while (!stop_) {
    DrainRemote();
    FireTimers();
    RunReady();
    if (stop_) break;
    const int64_t deadline_ns = WaitDeadlineNs();
    if (deadline_ns != 0 && hook_ != nullptr) hook_->OnIdle();
    poller->Poll(deadline_ns);
    ++stats_.turns;
  }
  if (hook_ != nullptr) hook_->OnIdle();
  poller_.store(nullptr, std::memory_order_seq_cst);
  current_scheduler_ = nullptr;
}

void Scheduler::Stop() { stop_ = true; }

int64_t Scheduler::WaitDeadlineNs() {
  return stop_ || SomethingRunnable() || !yielded_to_loop_.empty() ? 0 : timers_.earliest_deadline_ns();
}

void Scheduler::FireTimers() {
  if (timers_.size() == 0) return;
  const int64_t now_ns = clock_->NowNs();
  while (Timer* due = timers_.PopDue(now_ns)) due->Fire();
}

ParkResult Scheduler::Park(int64_t deadline_ns) { return ParkInternal(deadline_ns, /*cancellable=*/true); }

ParkResult Scheduler::ParkUncancellable(int64_t deadline_ns) {
  return ParkInternal(deadline_ns, /*cancellable=*/false);
}

ParkResult Scheduler::ParkInternal(int64_t deadline_ns, bool cancellable) {
  GreenThread* self = current_;
  GREENRING_CHECK(self != nullptr);
  const RuntimeSection section(self);
  if (cancellable && self->cancel_pending_) return ParkResult::kCancelled;
  if (self->permit_) {
    self->permit_ = false;
    return ParkResult::kUnparked;
  }
  if (deadline_ns != kNeverNs) timers_.Add(&self->timer_, deadline_ns);
  self->cancellable_ = cancellable;
  if (self->wait_note_.kind != WaitNote::Kind::kIdle) park_counts_.Add(self->wait_note_.call);
  self->MoveTo(GreenThread::State::kParked);
  SwitchToNext(self);
  return self->park_result_;
}

void Scheduler::Yield() {
  GreenThread* self = current_;
  GREENRING_CHECK(self != nullptr);
  const RuntimeSection section(self);
  Enqueue(self);
  SwitchToNext(self);
}

void Scheduler::YieldToLoop() {
  GreenThread* self = current_;
  GREENRING_CHECK(self != nullptr);
  const RuntimeSection section(self);
  self->MoveTo(GreenThread::State::kRunnable);
  yielded_to_loop_.PushBack(self);
  switches_left_ = 0;
  SwitchToNext(self);
}

void Scheduler::Wake(GreenThread* thread, ParkResult result) {
  timers_.Remove(&thread->timer_);  // now, not when it runs: the deadline may be due in this same turn
  thread->park_result_ = result;
  Enqueue(thread);
}

void Scheduler::Unpark(GreenThread* thread) {
  const RuntimeSection section(current_);
  switch (thread->state_) {
    case GreenThread::State::kParked:
      Wake(thread, ParkResult::kUnparked);
      break;
    case GreenThread::State::kRunnable:
    case GreenThread::State::kRunning:
      thread->permit_ = true;
      break;
    case GreenThread::State::kFree:  // a late UnparkRemote
    case GreenThread::State::kAbandoned:
      break;
  }
}

void Scheduler::Cancel(GreenThread* thread) {
  const RuntimeSection section(current_);
  thread->cancel_pending_ = true;
  if (thread->state_ == GreenThread::State::kParked && thread->cancellable_) Wake(thread, ParkResult::kCancelled);
}

void Scheduler::ClearCancel() {
  GREENRING_CHECK(current_ != nullptr);
  current_->cancel_pending_ = false;
}

void Scheduler::WithdrawCancel(GreenThread* thread) {
  thread->cancel_pending_ = false;
  const bool is_on_its_way = thread->state_ == GreenThread::State::kRunnable;
  if (is_on_its_way && thread->park_result_ == ParkResult::kCancelled) thread->park_result_ = ParkResult::kUnparked;
}

void Scheduler::UnparkRemote(GreenThread* thread) {
  if (thread->remote_queued_.exchange(true, std::memory_order_acq_rel)) return;  // will be unparked after this anyway
  GreenThread* head = remote_head_.load(std::memory_order_relaxed);
  do {
    thread->remote_next_ = head;
  } while (!remote_head_.compare_exchange_weak(head, thread, std::memory_order_seq_cst, std::memory_order_relaxed));
  // Only the first one in wakes the loop. Before Run nobody sleeps: Run looks into the door first.
  if (head != nullptr) return;
  if (Poller* poller = poller_.load(std::memory_order_seq_cst)) poller->Wake();
}

void Scheduler::DrainRemote() {
  GreenThread* thread = remote_head_.exchange(nullptr, std::memory_order_seq_cst);
  while (thread != nullptr) {
    GreenThread* next = thread->remote_next_;
    // A read and a write in one: an UnparkRemote that finds it still true has relied on this Unpark, and what its
    // caller wrote before must be seen by the green thread.
    thread->remote_queued_.exchange(false, std::memory_order_acq_rel);
    ++stats_.remote_unparks;
    Unpark(thread);
    thread = next;
  }
}

}  // namespace greenring::green
