#include "worker/core_pool.h"

#include <algorithm>
#include <functional>
#include <map>

#include "base/check.h"
#include "green/scoped_wait.h"
#include "worker/http_exchange.h"

namespace greenring::worker {
namespace {

green::SpawnSettings SpawnSettingsOf(const CoreSettings& settings) {
  return {.engine = GreenEngineOf(settings.engine), .stack_size_bytes = settings.stack_size_bytes};
}

bool MakesSameCores(const CoreSettings& a, const CoreSettings& b) {
  return a.engine == b.engine && a.stack_size_bytes == b.stack_size_bytes;
}

}  // namespace

struct CorePool::IdleCore {
  green::GreenThread* thread;
  IdleCore* next;
  bool idle = true;
};

struct CorePool::Generation {
  // True: a core of it could take a request up right now.
  bool has_free_core() const { return idle != nullptr || live_count < cores_max; }
  size_t free_count() const { return idle_count + (cores_max > live_count ? cores_max - live_count : 0); }

  int64_t number;
  CoreSettings settings;
  size_t cores_max;  // its share of them; 0: it has been replaced, or has no share, and its cores end
  IntrusiveList<HttpExchange> ready;
  IdleCore* idle = nullptr;  // last in, first out
  size_t idle_count = 0;
  size_t live_count = 0;
};

struct CorePool::LiveCore {
  CorePool* pool;
  Generation* generation;
  HttpExchange* exchange = nullptr;  // that it works for
};

CorePool::CorePool(green::Scheduler* scheduler, const CoreSettings& settings, Runner* runner)
    : scheduler_(scheduler), runner_(runner), main_(Add(settings, 0)), queue_depth_max_(settings.queue_depth_max) {
  scheduler_->SetSpawnSettings(SpawnSettingsOf(settings));
  scheduler_->SetWorkSource(this);
}

CorePool::~CorePool() {
  GREENRING_CHECK(live_count_ == 0 && queue_depth_ == 0);
  scheduler_->RemoveTimer(&change_timer_);
  scheduler_->SetWorkSource(nullptr);
}

// ---- requests -----------------------------------------------------------------------------------------------------

bool CorePool::Submit(HttpExchange* exchange) {
  GREENRING_DCHECK(!stopping_);
  if (full()) return false;
  (canary_ == nullptr ? main_ : Deal())->ready.PushBack(exchange);
  ++queue_depth_;
  return true;
}

// A free core takes a request in this very turn: such a request does not count as waiting.
bool CorePool::full() const {
  const size_t free_cores = main_->free_count() + (canary_ != nullptr ? canary_->free_count() : 0);
  return queue_depth_ >= queue_depth_max_ + free_cores;
}

void CorePool::Withdraw(HttpExchange* exchange) {
  GREENRING_CHECK(exchange->linked());
  exchange->Unlink();
  --queue_depth_;  // a core that was woken for it finds nothing, and is idle again
}

CorePool::Generation* CorePool::Deal() {
  dealt_percent_ += canary_percent_;
  if (dealt_percent_ < 100) return main_;
  dealt_percent_ -= 100;
  return canary_;
}

CorePool::Generation* CorePool::Other(const Generation* generation) const {
  return generation == main_ ? canary_ : main_;
}

HttpExchange* CorePool::Take(Generation* generation) {
  HttpExchange* exchange = generation->ready.PopFront();
  if (exchange != nullptr || canary_ == nullptr) return exchange;
  Generation* const other = Other(generation);
  return other->has_free_core() ? nullptr : other->ready.PopFront();
}

HttpExchange* CorePool::Next() {
  green::GreenThread* const thread = scheduler_->current();
  auto* const core = static_cast<LiveCore*>(thread->on_abandoned_argument());
  Generation* const generation = core->generation;
  core->exchange = nullptr;
  scheduler_->LeaveReserve();
  for (;;) {
    if (generation->live_count > generation->cores_max) [[unlikely]]
      return nullptr;
    if (HttpExchange* const exchange = Take(generation)) {
      --queue_depth_;
      exchange->BeginRun(thread, generation->number);
      return core->exchange = exchange;
    }
    if (stopping_) return nullptr;
    IdleCore self{thread, generation->idle};
    generation->idle = &self;
    ++generation->idle_count;
    ++idle_count_;
    // A request that went deep should not hold its pages for the next one, which probably does not.
    scheduler_->TrimStack(thread);
    const green::ScopedWait noted(thread, {.call = "idle", .kind = green::WaitNote::Kind::kIdle});
    while (self.idle) scheduler_->ParkUncancellable();
  }
}

// ---- cores --------------------------------------------------------------------------------------------------------

void CorePool::Refill() {
  if (queue_depth_ > 0) {
    RefillFor(main_);
    if (canary_ != nullptr) RefillFor(canary_);
  } else if (stopping_) {
    for (const auto& generation : all_) {
      if (generation->idle != nullptr) Wake(generation.get());
    }
  }
}

void CorePool::RefillFor(Generation* generation) {
  if (generation->ready.empty()) return;
  if (!generation->has_free_core() && canary_ != nullptr) generation = Other(generation);
  if (generation->idle != nullptr) {
    Wake(generation);
  } else if (generation->live_count < generation->cores_max) {
    Spawn(generation);
  }
}

void CorePool::Wake(Generation* generation) {
  IdleCore* const core = generation->idle;
  generation->idle = core->next;
  --generation->idle_count;
  --idle_count_;
  core->idle = false;
  scheduler_->Unpark(core->thread);
}

void CorePool::Spawn(Generation* generation) {
  const green::SpawnSettings settings = SpawnSettingsOf(generation->settings);
  // Without memory for a stack the requests wait for the cores that there are.
  if (live_count_ > 0 && !scheduler_->Reserve(1, settings).ok()) return;
  ++live_count_;
  ++generation->live_count;
  scheduler_->Spawn([this, generation] { RunCore(generation); }, {.name = "core", .settings = settings});
  NoteChange();
}

void CorePool::RunCore(Generation* generation) {
  LiveCore self{.pool = this, .generation = generation};
  scheduler_->current()->OnAbandoned(&CorePool::OnAbandoned, &self);
  runner_->RunCore(this);
  OnCoreGone(generation);
}

void CorePool::OnAbandoned(green::GreenThread* thread, void* argument) {
  auto* const core = static_cast<LiveCore*>(argument);  // on the stack that is lost, and stays as it is
  core->pool->runner_->OnCoreAbandoned(thread, core->exchange);
  core->pool->OnCoreGone(core->generation);
}

void CorePool::OnCoreGone(Generation* generation) {
  --generation->live_count;
  --live_count_;
  NoteChange();
  EraseEnded();
  if (live_count_ == 0 && queue_depth_ == 0 && stopping_) runner_->OnCoresEnded();
}

void CorePool::Stop() {
  stopping_ = true;
  if (live_count_ == 0) runner_->OnCoresEnded();
}

CoreEngine CorePool::current_engine() const {
  return static_cast<LiveCore*>(scheduler_->current()->on_abandoned_argument())->generation->settings.engine;
}

CoreEngine CorePool::engine_of(int64_t generation) const {
  for (const auto& one : all_) {
    if (one->number == generation) return one->settings.engine;
  }
  return main_->settings.engine;
}

size_t CorePool::current_stack_size_bytes() const {
  return static_cast<LiveCore*>(scheduler_->current()->on_abandoned_argument())->generation->settings.stack_size_bytes;
}

// ---- generations --------------------------------------------------------------------------------------------------

void CorePool::Apply(const CoreSettings& settings, int64_t generation, int canary_percent) {
  GREENRING_CHECK(settings.cores_max > 0 && canary_percent >= 0 && canary_percent < 100);
  if (canary_percent == 0 || generation == main_->number) {
    ApplyToAll(settings, generation);
  } else {
    ApplyToCanary(settings, generation, canary_percent);
  }
  ShareCores();
  EraseEnded();
  NoteChange();
}

void CorePool::ApplyToAll(const CoreSettings& settings, int64_t number) {
  Generation* next = Find(settings, number);
  if (next == nullptr && MakesSameCores(main_->settings, settings)) next = main_;
  if (next == nullptr) next = Add(settings, number);
  Generation* const before = main_;
  Generation* const canary_before = canary_;
  main_ = next;
  canary_ = nullptr;
  next->number = number;
  next->settings = settings;
  for (Generation* generation : {before, canary_before}) {
    if (generation != nullptr && generation != next) Retire(generation);
  }
  queue_depth_max_ = settings.queue_depth_max;
  scheduler_->SetSpawnSettings(SpawnSettingsOf(settings));
}

void CorePool::ApplyToCanary(const CoreSettings& settings, int64_t number, int percent) {
  Generation* next = Find(settings, number);
  if (next == nullptr) next = Add(settings, number);
  Generation* const before = canary_;
  canary_ = next;
  next->settings = settings;
  if (before != nullptr && before != next) Retire(before);
  canary_percent_ = percent;
  dealt_percent_ = 100 - percent;  // it is given the very next request
}

// The generation with that number whose cores are as `settings` would make them, also one that was retired.
CorePool::Generation* CorePool::Find(const CoreSettings& settings, int64_t number) {
  const auto found = std::find_if(all_.begin(), all_.end(), [&](const auto& generation) {
    return generation->number == number && MakesSameCores(generation->settings, settings);
  });
  return found != all_.end() ? found->get() : nullptr;
}

CorePool::Generation* CorePool::Add(const CoreSettings& settings, int64_t number) {
  auto generation = std::make_unique<Generation>();
  generation->number = number;
  generation->settings = settings;
  generation->cores_max = settings.cores_max;
  return all_.emplace_back(std::move(generation)).get();
}

void CorePool::ShareCores() {
  size_t main_share = main_->settings.cores_max;
  if (canary_ != nullptr) {
    const auto share = [this](size_t cores) {
      const size_t wanted = (cores * static_cast<size_t>(canary_percent_) + 99) / 100;
      return std::clamp<size_t>(wanted, 1, std::max<size_t>(cores - 1, 1));
    };
    main_share -= share(main_share);
    canary_->cores_max = share(canary_->settings.cores_max);
  }
  main_->cores_max = main_share;
  for (const auto& generation : all_) {
    if (generation->live_count > generation->cores_max) {
      EndIdle(generation.get(), generation->live_count - generation->cores_max);
    }
  }
}

// What waits for its cores is given to those of main_, in the order of their beginning.
void CorePool::Retire(Generation* generation) {
  generation->cores_max = 0;
  IntrusiveList<HttpExchange> merged;
  for (;;) {
    const HttpExchange* const mine = main_->ready.front();
    const HttpExchange* const theirs = generation->ready.front();
    if (mine == nullptr && theirs == nullptr) break;
    const bool take_mine = theirs == nullptr || (mine != nullptr && mine->started_ns() <= theirs->started_ns());
    merged.PushBack((take_mine ? main_ : generation)->ready.PopFront());
  }
  main_->ready.Append(&merged);
}

// Those that have been idle longest.
void CorePool::EndIdle(Generation* generation, size_t count) {
  IdleCore** link = &generation->idle;
  for (size_t kept = generation->idle_count - std::min(count, generation->idle_count); kept > 0; --kept) {
    link = &(*link)->next;
  }
  IdleCore* core = *link;
  *link = nullptr;
  while (core != nullptr) {
    IdleCore* const next = core->next;
    --generation->idle_count;
    --idle_count_;
    core->idle = false;
    scheduler_->Unpark(core->thread);
    core = next;
  }
}

void CorePool::EraseEnded() {
  std::erase_if(all_, [this](const auto& generation) {
    return generation.get() != main_ && generation.get() != canary_ && generation->live_count == 0;
  });
}

void CorePool::NoteChange() {
  if (!change_timer_.armed()) scheduler_->AddTimer(&change_timer_, 0);
}

std::vector<CorePool::GenerationCount> CorePool::generations() const {
  std::map<int64_t, GenerationCount, std::greater<>> counts;
  for (const auto& generation : all_) {
    GenerationCount& count = counts[generation->number];
    count.generation = generation->number;
    count.cores += static_cast<int>(generation->live_count);
    count.busy += static_cast<int>(generation->live_count - generation->idle_count);
  }
  std::vector<GenerationCount> newest_first;
  for (const auto& [number, count] : counts) newest_first.push_back(count);
  return newest_first;
}

}  // namespace greenring::worker
