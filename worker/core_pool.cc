#include "worker/core_pool.h"

#include "base/check.h"
#include "green/scoped_wait.h"
#include "green/stack_slab.h"
#include "worker/http_exchange.h"

namespace greenring::worker {

struct CorePool::IdleCore {
  green::GreenThread* thread;
  IdleCore* next;
  bool idle = true;
};

CorePool::CorePool(green::Scheduler* scheduler, const CorePoolOptions& options, Runner* runner)
    : scheduler_(scheduler), options_(options), runner_(runner) {
  scheduler_->SetWorkSource(this);
}

CorePool::~CorePool() {
  GREENRING_CHECK(live_count_ == 0 && queue_depth_ == 0);
  scheduler_->SetWorkSource(nullptr);
}

bool CorePool::Submit(HttpExchange* exchange) {
  GREENRING_DCHECK(!stopping_);
  if (full()) return false;
  ready_.PushBack(exchange);
  ++queue_depth_;
  return true;
}

// A free core takes a request in this very turn: such a request does not count as waiting.
bool CorePool::full() const {
  const size_t free_cores = idle_count_ + (options_.cores_max - live_count_);
  return queue_depth_ >= options_.queue_depth_max + free_cores;
}

void CorePool::Withdraw(HttpExchange* exchange) {
  GREENRING_CHECK(exchange->linked());
  exchange->Unlink();
  --queue_depth_;  // a core that was woken for it finds nothing, and is idle again
}

HttpExchange* CorePool::Next() {
  auto* const core = static_cast<LiveCore*>(scheduler_->current()->on_abandoned_argument());
  core->exchange = nullptr;
  scheduler_->LeaveReserve();
  while (queue_depth_ == 0) {
    if (stopping_) return nullptr;
    IdleCore self{scheduler_->current(), idle_};
    idle_ = &self;
    ++idle_count_;
    // A request that went deep should not hold its pages for the next one, which probably does not.
    scheduler_->slab()->Trim(self.thread->stack());
    const green::ScopedWait noted(self.thread, {.call = "idle", .kind = green::WaitNote::Kind::kIdle});
    while (self.idle) scheduler_->ParkUncancellable();
  }
  --queue_depth_;
  core->exchange = ready_.PopFront();
  core->exchange->BeginRun(scheduler_->current(), /*generation=*/0);
  return core->exchange;
}

void CorePool::Refill() {
  if (queue_depth_ == 0 && !stopping_) return;
  if (idle_ != nullptr) {
    IdleCore* core = idle_;
    idle_ = core->next;
    --idle_count_;
    core->idle = false;
    scheduler_->Unpark(core->thread);
  } else if (queue_depth_ > 0 && live_count_ < options_.cores_max) {
    ++live_count_;
    scheduler_->Spawn([this] { RunCore(); }, {.name = "core"});
  }
}

void CorePool::RunCore() {
  LiveCore self{.pool = this};
  scheduler_->current()->OnAbandoned(&CorePool::OnAbandoned, &self);
  runner_->RunCore(this);
  if (--live_count_ == 0 && stopping_) runner_->OnCoresEnded();
}

void CorePool::OnAbandoned(green::GreenThread* thread, void* argument) {
  auto* const core = static_cast<LiveCore*>(argument);  // on the stack that is lost, and stays as it is
  CorePool* const pool = core->pool;
  --pool->live_count_;
  pool->runner_->OnCoreAbandoned(thread, core->exchange);
  if (pool->live_count_ == 0 && pool->stopping_) pool->runner_->OnCoresEnded();
}

void CorePool::Stop() {
  stopping_ = true;
  if (live_count_ == 0) runner_->OnCoresEnded();
}

}  // namespace greenring::worker
