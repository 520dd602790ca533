// The scheduler's stocks of green threads: made, kept for reuse, and taken apart.
#include <atomic>
#include <cstdio>
#include <memory>
#include <new>
#include <utility>

#include "base/check.h"
#include "green/scheduler.h"

// Where a debugger finds everything (tools/gdb/greenring.py): the scheduler that ran last.
extern "C" {
extern greenring::green::Scheduler* greenring_scheduler;
constinit greenring::green::Scheduler* greenring_scheduler = nullptr;
}

namespace greenring::green {
namespace {

// Control blocks at the same offset in every page would all compete for the same cache sets: they are spread.
constexpr size_t kColours = 8;
constexpr size_t kColourBytes = 256;

}  // namespace

Scheduler::Scheduler(const SchedulerOptions& options)
    : clock_(options.clock), stock_(StockOf({options.engine, options.stack_size_bytes})) {}

Scheduler::~Scheduler() {
  GREENRING_CHECK(stats_.live == 0);
  Scheduler* self = this;
  std::atomic_ref(greenring_scheduler).compare_exchange_strong(self, nullptr, std::memory_order_relaxed);
  while (retired_ != nullptr) {
    GreenThread* const thread = retired_;
    retired_ = thread->next_free_;
    Destroy(thread);
  }
  for (auto& stock : stocks_) DestroyFree(stock.get());
}

ThreadStock* Scheduler::StockOf(const SpawnSettings& settings) {
  for (auto& stock : stocks_) {
    if (stock->settings == settings) return stock.get();
  }
  return stocks_.emplace_back(std::make_unique<ThreadStock>(settings)).get();
}

GreenThread* Scheduler::MakeThread(ThreadStock* stock) {
  absl::StatusOr<Stack> stack = stock->slab.Allocate();
  if (!stack.ok()) {
    std::fprintf(stderr, "greenring: %s\n", stack.status().ToString().c_str());
    GREENRING_CHECK(stack.ok());
  }
  static_assert(sizeof(GreenThread) % alignof(GreenThread) == 0);
  std::byte* block = stack->top() - sizeof(GreenThread) - (stock->slab.live_count() % kColours) * kColourBytes;
  block -= reinterpret_cast<uintptr_t>(block) % 64;  // a cache line
  GreenThread* const thread = new (block) GreenThread(this, stock, *stack);
  thread->context_.Make(stock->settings.engine, stack->reserve_base(),
                        static_cast<size_t>(block - stack->reserve_base()), &Scheduler::ThreadMain, thread);
  thread->next_ever_ = ever_;
  if (ever_ != nullptr) ever_->previous_ever_ = thread;
  ever_ = thread;
  return thread;
}

void Scheduler::SetSpawnSettings(const SpawnSettings& settings) {
  const RuntimeSection section(current_);
  ThreadStock* const before = stock_;
  stock_ = StockOf(settings);
  if (before == stock_) return;
  // Taken apart later, in the loop's context: others may still be about to unpark one of them.
  while (before->free != nullptr) {
    GreenThread* const thread = before->free;
    before->free = thread->next_free_;
    thread->next_free_ = retired_;
    retired_ = thread;
  }
  if (retired_ == nullptr) ReleaseStocks();
}

void Scheduler::Destroy(GreenThread* thread) {
  (thread->previous_ever_ != nullptr ? thread->previous_ever_->next_ever_ : ever_) = thread->next_ever_;
  if (thread->next_ever_ != nullptr) thread->next_ever_->previous_ever_ = thread->previous_ever_;
  if (leaving_ == thread) leaving_ = nullptr;
  ThreadStock* const stock = thread->stock_;
  const Stack stack = thread->stack_;
  thread->~GreenThread();
  stock->slab.Discard(stack);
}

void Scheduler::DestroyFree(ThreadStock* stock) {
  while (stock->free != nullptr) {
    GreenThread* const thread = stock->free;
    stock->free = thread->next_free_;
    Destroy(thread);
  }
}

// In the loop's context: nobody runs on these stacks. Those that wait in the door have their turn first.
void Scheduler::DestroyRetired() {
  GreenThread* thread = std::exchange(retired_, nullptr);
  while (thread != nullptr) {
    GreenThread* const next = thread->next_free_;
    if (thread->remote_queued_.load(std::memory_order_acquire)) {
      thread->next_free_ = retired_;
      retired_ = thread;
    } else if (thread->stock_ == stock_) {  // its settings are the current ones again
      thread->next_free_ = stock_->free;
      stock_->free = thread;
    } else {
      Destroy(thread);
    }
    thread = next;
  }
  ReleaseStocks();
}

void Scheduler::ReleaseStocks() {
  std::erase_if(stocks_, [this](const std::unique_ptr<ThreadStock>& stock) {
    if (stock.get() == stock_) return false;
    stock->slab.ReleaseDiscarded();
    if (stock->slab.live_count() > 0 || stock->slab.abandoned_any()) return false;
    earlier_stacks_ = stock->slab.Report(earlier_stacks_);
    return true;
  });
}

StackReport Scheduler::ReportStacks() const {
  StackReport report = earlier_stacks_;
  for (const auto& stock : stocks_) {
    if (stock.get() != stock_) report = stock->slab.Report(report);
  }
  return stock_->slab.Report(report);
}

}  // namespace greenring::green
