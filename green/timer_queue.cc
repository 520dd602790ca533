#include "green/timer_queue.h"

namespace greenring::green {

void TimerQueue::Place(size_t index, const Entry& entry) {
  heap_[index] = entry;
  entry.timer->index_ = static_cast<uint32_t>(index);
}

void TimerQueue::SiftUp(size_t index, const Entry& entry) {
  while (index > 0) {
    const size_t parent = (index - 1) / 2;
    if (heap_[parent].deadline_ns <= entry.deadline_ns) break;
    Place(index, heap_[parent]);
    index = parent;
  }
  Place(index, entry);
}

void TimerQueue::SiftDown(size_t index, const Entry& entry) {
  for (;;) {
    size_t child = 2 * index + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1].deadline_ns < heap_[child].deadline_ns) ++child;
    if (entry.deadline_ns <= heap_[child].deadline_ns) break;
    Place(index, heap_[child]);
    index = child;
  }
  Place(index, entry);
}

void TimerQueue::Add(Timer* timer, int64_t deadline_ns) {
  GREENRING_CHECK(!timer->armed());
  timer->deadline_ns_ = deadline_ns;
  heap_.emplace_back();
  SiftUp(heap_.size() - 1, {deadline_ns, timer});
}

void TimerQueue::Remove(Timer* timer) {
  if (!timer->armed()) return;
  const size_t index = timer->index_;
  GREENRING_DCHECK(heap_[index].timer == timer);
  timer->index_ = Timer::kNotArmed;
  const Entry last = heap_.back();
  heap_.pop_back();
  if (last.timer == timer) return;
  // The last entry fills the hole; it may belong above or below it.
  if (index > 0 && last.deadline_ns < heap_[(index - 1) / 2].deadline_ns) {
    SiftUp(index, last);
  } else {
    SiftDown(index, last);
  }
}

Timer* TimerQueue::PopDue(int64_t now_ns) {
  if (heap_.empty() || heap_[0].deadline_ns > now_ns) return nullptr;
  Timer* timer = heap_[0].timer;
  Remove(timer);
  return timer;
}

}  // namespace greenring::green
