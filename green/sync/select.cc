#include "green/sync/select.h"

#include "base/check.h"

namespace greenring::green {
namespace {

// Marsaglia's xorshift: fairness needs no better, and a fixed start makes runs repeatable.
uint32_t NextRandom() {
  static thread_local uint32_t state = 2463534242;
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state;
}

}  // namespace

void Selection::Add(SelectCase* added) {
  added->next_ = first_;
  first_ = added;
}

void Selection::SetDeadline(int64_t deadline_ns) {
  GREENRING_CHECK(deadline_ns_ == kNeverNs && "a Select has one OnDeadline at most");
  deadline_ns_ = deadline_ns;
}

// Each ready case replaces the one chosen so far with the chance that makes all of them equally likely in the end.
SelectCase* Selection::PickReady() const {
  SelectCase* picked = nullptr;
  uint32_t ready = 0;
  for (SelectCase* each = first_; each != nullptr; each = each->next_) {
    if (each->CanHappen() && (++ready == 1 || NextRandom() % ready == 0)) picked = each;
  }
  return picked;
}

void Selection::Run() {
  happened_ = PickReady();
  if (happened_ != nullptr) {
    happened_->Happen();
    return;
  }
  if (has_otherwise_) return;
  Wait wait("select", this);
  for (SelectCase* each = first_; each != nullptr; each = each->next_) {
    wait.Join(each->waiter_);
    each->StandInLine();
  }
  result_ = wait.Park(deadline_ns_);
  if (wait.answered() == nullptr) return;
  happened_ = first_;
  while (happened_->waiter_ != wait.answered()) happened_ = happened_->next_;
  happened_->Answered(result_);
  result_ = WaitResult::kDone;  // also when a channel closed: that is the case's to tell
}

}  // namespace greenring::green
