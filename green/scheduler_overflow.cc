// The scheduler's part in stack overflows: giving a reserve back, and going on without a green thread whose stack is
// lost. stack_overflow.cc is the fault handler's part.
#include "base/check.h"
#include "green/scheduler.h"

namespace greenring::green {

void RuntimeSection::Abandon() { thread_->scheduler_->AbandonCurrent(); }

void Scheduler::CloseReserve(GreenThread* thread) {
  const std::byte* here = static_cast<const std::byte*>(__builtin_frame_address(0));
  if (here < thread->stack_.base + thread->stack_.size_bytes / 4) return;  // it may need it again at once
  if (hook_ != nullptr) hook_->OnReserveLeft(thread);
  thread->reserve_open_ = false;
  thread->reserve_note_ = {};
  thread->stock_->slab.CloseReserve(thread->stack_);
}

// In place of the current green thread: on its stack when it leaves a RuntimeSection, else on the emergency stack.
void Scheduler::AbandonCurrent() {
  GreenThread* thread = current_;
  if (hook_ != nullptr) hook_->OnAbandoned(thread);
  thread->MoveTo(GreenThread::State::kAbandoned);
  thread->reserve_open_ = false;  // what is open stays open
  thread->stock_->slab.Abandon(thread->stack_);
  --stats_.live;
  ++stats_.abandoned;
  thread->next_free_ = abandoned_;
  abandoned_ = thread;
  Switch(thread, nullptr);
  GREENRING_CHECK(!"an abandoned green thread was switched in");
  __builtin_unreachable();
}

void Scheduler::TellOwners() {
  while (abandoned_ != nullptr) {
    GreenThread* thread = abandoned_;
    abandoned_ = thread->next_free_;
    thread->next_free_ = nullptr;
    if (thread->on_abandoned_ != nullptr) thread->on_abandoned_(thread, thread->on_abandoned_argument_);
    if (abandoned_observer_ != nullptr) abandoned_observer_(thread, abandoned_observer_argument_);
  }
}

size_t Scheduler::StackUseBytes(const GreenThread& thread) const {
  const void* pointer = &thread == current_ ? __builtin_frame_address(0) : thread.context_.stack_pointer();
  if (pointer == nullptr || !thread.stack_.Encloses(pointer)) return 0;
  return static_cast<size_t>(thread.stack_.top() - static_cast<const std::byte*>(pointer));
}

}  // namespace greenring::green
