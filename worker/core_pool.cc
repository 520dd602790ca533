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
  // A free core takes it in this very turn: such a request does not count as waiting.
  const size_t free_cores = idle_count_ + (options_.cores_max - live_count_);
  if (queue_depth_ >= options_.queue_depth_max + free_cores) return false;
  ready_.PushBack(exchange);
  ++queue_depth_;
  return true;
}

void CorePool::Withdraw(HttpExchange* exchange) {
  GREENRING_CHECK(exchange->linked());
  exchange->Unlink();
  --queue_depth_;  // a core that was woken for it finds nothing, and is idle again
}

HttpExchange* CorePool::Next() {
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
  return ready_.PopFront();
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
  runner_->RunCore(this);
  if (--live_count_ == 0 && stopping_) runner_->OnCoresEnded();
}

void CorePool::Stop() {
  stopping_ = true;
  if (live_count_ == 0) runner_->OnCoresEnded();
}

}  // namespace greenring::worker
