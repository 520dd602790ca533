#include "pyhost/green_pool.h"

#include <pthread.h>

#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "green/scoped_wait.h"
#include "pyhost/gil.h"
#include "pyhost/interrupt_errors.h"
#include "pyhost/py_ref.h"

namespace greenring::pyhost {
namespace {

constexpr const char kIdleName[] = "go, idle";
constexpr int64_t kRetryNs = 10 * kNanosecondsPerMillisecond;

// Jobs that wait for Open, and those that another OS thread has started or cancelled. The GIL guards it.
IntrusiveList<GreenPool::Job>& Errands() {
  static auto* const errands = new IntrusiveList<GreenPool::Job>();
  return *errands;
}

}  // namespace

// A green thread of the pool, on its own stack.
struct GreenPool::Runner : ListLink {
  Runner(GreenPool* pool, green::GreenThread* thread) : pool(pool), thread(thread) {}
  ~Runner() { Unlink(); }

  GreenPool* const pool;
  green::GreenThread* const thread;
  Job* job = nullptr;  // nullptr: idle
  Runner* next_idle = nullptr;
  bool outdated = false;  // it ends instead of waiting on
};

PyObject* GreenPool::Job::Cancellation::NewException() { return InterruptErrors::NewCancelled(reason); }

GreenPool::GreenPool(green::Scheduler* scheduler, Observer* observer) : scheduler_(scheduler), observer_(observer) {}

GreenPool::~GreenPool() {
  if (open_pool_ == this) open_pool_ = nullptr;
}

void GreenPool::Open() {
  GREENRING_CHECK(open_pool_ == nullptr);
  static const int registered = pthread_atfork(nullptr, nullptr, [] { in_forked_child_ = true; });
  GREENRING_CHECK(registered == 0);
  open_pool_ = this;
  for (Job* job = Errands().front(); job != nullptr; job = Errands().Next(job)) ++job_count_;
  ++thread_count_;
  errands_thread_ = scheduler_->Spawn([this] { ServeErrands(); }, {.name = "go, from other threads"});
}

absl::Status GreenPool::Start(Job* job) {
  if (in_forked_child_) {
    return absl::UnavailableError(
        "this process was made by fork, and has no green threads but the one that forked: start it before, in the "
        "parent, or in a program of its own (subprocess, multiprocessing's spawn)");
  }
  GreenPool* const pool = open_pool_;
  if (pool != nullptr && (pool->closed_ || pool->cancel_all_reason_ != nullptr)) {
    return absl::UnavailableError("the worker ends: nothing new is started");
  }
  if (pool != nullptr && pool->OnOwnThread()) {
    const absl::Status begun = pool->Begin(job);
    if (begun.ok()) ++pool->job_count_;
    return begun;
  }
  job->state_ = Job::State::kWaiting;
  if (pool != nullptr) {
    ++pool->job_count_;
    pool->HandOver(job);
  } else {
    Errands().PushBack(job);
  }
  return absl::OkStatus();
}

bool GreenPool::Cancel(Job* job, const char* reason) {
  if (job->state_ == Job::State::kEnded) return false;
  job->cancellation_.reason = reason;
  GreenPool* const pool = open_pool();
  if (pool != nullptr && job->state_ == Job::State::kRunning) {
    if (pool->OnOwnThread()) {
      pool->CancelHere(job);
    } else {
      job->cancel_asked_ = true;
      if (!job->linked()) pool->HandOver(job);
    }
  } else {
    job->cancel_asked_ = true;
  }
  return true;
}

void GreenPool::CancelHere(Job* job) {
  Interrupt* const cancellation = &job->cancellation_;
  if (cancellation->state() == Interrupt::State::kRaised) cancellation->Rearm();
  if (cancellation->state() == Interrupt::State::kIdle) Interruptible::Of(job->thread_)->Post(cancellation);
}

void GreenPool::HandOver(Job* job) {
  Errands().PushBack(job);
  if (OnOwnThread()) {
    scheduler_->Unpark(errands_thread_);
  } else {
    scheduler_->UnparkRemote(errands_thread_);
  }
}

absl::Status GreenPool::Begin(Job* job) {
  Runner* const runner = idle_;
  if (runner != nullptr) {
    idle_ = runner->next_idle;
    --idle_count_;
    runner->job = job;
    job->thread_ = runner->thread;
    scheduler_->Unpark(runner->thread);
  } else {
    absl::Status reserved = scheduler_->Reserve(1);
    if (!reserved.ok()) return reserved;
    ++thread_count_;
    job->thread_ = scheduler_->Spawn([this, job] { RunJobs(job); }, {.name = kIdleName});
  }
  job->state_ = Job::State::kStarting;
  job->id_ = runner != nullptr ? scheduler_->RenewId(job->thread_) : job->thread_->id();
  return absl::OkStatus();
}

void GreenPool::ServeErrands() {
  for (;;) {
    scheduler_->LeaveReserve();
    {
      const ScopedPythonThread python;
      DoErrands();
      CloseIfDone();
    }
    if (closed_) break;
    const green::ScopedWait noted(scheduler_->current(), {.call = "errands", .kind = green::WaitNote::Kind::kIdle});
    scheduler_->ParkUncancellable();
  }
  OnThreadEnded();
}

void GreenPool::OnAbandoned(green::GreenThread*, void* argument) {
  auto* const runner = static_cast<Runner*>(argument);  // on the stack that is lost, and stays as it is
  GreenPool* const pool = runner->pool;
  runner->Unlink();
  if (runner->job != nullptr) pool->lost_.push_back(runner->job);
  --pool->thread_count_;  // the errands thread is still there: it is never the last
  pool->scheduler_->Unpark(pool->errands_thread_);
}

void GreenPool::EndLost(Job* job) {
  Interruptible::Of(job->thread_)->Withdraw(&job->cancellation_);
  const PyRef error(PyObject_CallFunction(PyExc_RecursionError, "s", "the stack overflowed, and the function is lost"));
  job->CancelBeforeRun(error.get());
  job->state_ = Job::State::kEnded;
  job->thread_ = nullptr;
  job->Unlink();
  job->OnEnded();
  --job_count_;
}

void GreenPool::DoErrands() {
  while (!lost_.empty()) {
    Job* const job = lost_.back();
    lost_.pop_back();
    EndLost(job);
  }
  while (Job* job = Errands().PopFront()) {
    if (job->state_ == Job::State::kRunning) {
      job->cancel_asked_ = false;
      CancelHere(job);
    } else if (job->state_ == Job::State::kWaiting && !Begin(job).ok()) {
      Errands().PushFront(job);  // no memory for a stack: when others have ended there may be
      scheduler_->ParkUncancellable(scheduler_->clock()->NowNs() + kRetryNs);
    }
  }
}

void GreenPool::RunJobs(Job* first) {
  {
    const ScopedPythonThread python;
    Runner self(this, scheduler_->current());
    self.thread->OnAbandoned(&GreenPool::OnAbandoned, &self);
    self.job = first;
    live_.PushBack(&self);
    do {
      RunOne(&self);
    } while (AwaitJob(&self));
  }
  OnThreadEnded();
}

void GreenPool::RunOne(Runner* runner) {
  Job* const job = runner->job;
  job->state_ = Job::State::kRunning;
  if (const char* reason = cancel_all_reason_; reason != nullptr && !job->cancel_asked_) {
    job->cancel_asked_ = true;
    job->cancellation_.reason = reason;
  }
  runner->thread->set_name(job->name());
  if (std::exchange(job->cancel_asked_, false)) {
    const PyRef exception(job->cancellation_.NewException());
    job->CancelBeforeRun(exception.get());
  } else {
    job->Run();
  }
  Interruptible::Of(runner->thread)->Reset();  // a cancellation that came too late hurts nobody after it
  runner->thread->set_name(kIdleName);
  job->state_ = Job::State::kEnded;
  job->thread_ = nullptr;
  job->Unlink();  // another OS thread may have cancelled it just now
  runner->job = nullptr;
  job->OnEnded();
  --job_count_;
}

bool GreenPool::AwaitJob(Runner* runner) {
  scheduler_->LeaveReserve();
  CloseIfDone();
  if (closed_ || idle_count_ == kIdleMax || !scheduler_->IsCurrentMake(*runner->thread)) return false;
  runner->next_idle = idle_;
  idle_ = runner;
  ++idle_count_;
  // A job that went deep should not hold its pages for the next one, which probably does not.
  scheduler_->TrimStack(runner->thread);
  const green::ScopedWait noted(runner->thread, {.call = "idle", .kind = green::WaitNote::Kind::kIdle});
  while (runner->job == nullptr && !closed_ && !runner->outdated) scheduler_->ParkUncancellable();
  return runner->job != nullptr;
}

void GreenPool::EndOutdated() {
  for (Runner** link = &idle_; *link != nullptr;) {
    Runner* const runner = *link;
    if (scheduler_->IsCurrentMake(*runner->thread)) {
      link = &runner->next_idle;
      continue;
    }
    *link = runner->next_idle;
    --idle_count_;
    runner->outdated = true;
    scheduler_->Unpark(runner->thread);
  }
}

void GreenPool::Stop() {
  stopping_ = true;
  if (errands_thread_ == nullptr) {
    observer_->OnPoolEnded();
  } else {
    scheduler_->Unpark(errands_thread_);  // closes the pool, with the GIL, if there is no job
  }
}

void GreenPool::CancelAll(const char* reason) {
  cancel_all_reason_ = reason;
  for (Runner* runner = live_.front(); runner != nullptr; runner = live_.Next(runner)) {
    if (runner->job == nullptr || runner->job->state_ != Job::State::kRunning) continue;
    runner->job->cancellation_.reason = reason;
    CancelHere(runner->job);
  }
}

void GreenPool::CloseIfDone() {
  if (!stopping_ || closed_ || live_count() > 0) return;
  closed_ = true;
  for (; idle_ != nullptr; idle_ = idle_->next_idle) scheduler_->Unpark(idle_->thread);
  scheduler_->Unpark(errands_thread_);
}

void GreenPool::OnThreadEnded() {
  if (--thread_count_ == 0) observer_->OnPoolEnded();
}

}  // namespace greenring::pyhost
