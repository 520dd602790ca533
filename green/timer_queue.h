// Deadlines of one scheduler: a binary heap of timers that live in their owners.
//
//   Timer timer([](Timer* self) { ... });
//   queue.Add(&timer, deadline_ns);
//   while (Timer* due = queue.PopDue(clock->NowNs())) due->Fire();
//
// Add and Remove are O(log n) and allocate only when the heap grows. Equal deadlines fire in no particular order.
// Scheduler's thread only. Never parks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "base/clock.h"

namespace greenring::green {

class Timer {
 public:
  using Function = void (*)(Timer* self);

  // `function` runs in the loop's context; the owner finds itself from `self`, of which it is a member or a base.
  explicit Timer(Function function) : function_(function) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { GREENRING_DCHECK(!armed()); }

  bool armed() const { return index_ != kNotArmed; }
  int64_t deadline_ns() const { return deadline_ns_; }
  void Fire() { function_(this); }

 private:
  friend class TimerQueue;
  static constexpr uint32_t kNotArmed = UINT32_MAX;

  const Function function_;
  int64_t deadline_ns_ = kNeverNs;
  uint32_t index_ = kNotArmed;  // in the heap
};

class TimerQueue {
 public:
  TimerQueue() = default;
  TimerQueue(const TimerQueue&) = delete;
  TimerQueue& operator=(const TimerQueue&) = delete;
  ~TimerQueue() { GREENRING_CHECK(heap_.empty()); }

  // `timer` must not be armed.
  void Add(Timer* timer, int64_t deadline_ns);

  // Does nothing when `timer` is not armed.
  void Remove(Timer* timer);

  // The earliest timer if it is due at `now_ns`, disarmed; nullptr otherwise.
  Timer* PopDue(int64_t now_ns);

  // kNeverNs when empty.
  int64_t earliest_deadline_ns() const { return heap_.empty() ? kNeverNs : heap_[0].deadline_ns; }
  size_t size() const { return heap_.size(); }

 private:
  struct Entry {
    int64_t deadline_ns;  // beside the pointer, so that sifting does not touch the timers
    Timer* timer;
  };

  void Place(size_t index, const Entry& entry);
  void SiftUp(size_t index, const Entry& entry);
  void SiftDown(size_t index, const Entry& entry);

  std::vector<Entry> heap_;
};

}  // namespace greenring::green
