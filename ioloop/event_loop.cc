#include "ioloop/event_loop.h"

#include <algorithm>

namespace greenring::ioloop {

// Rules of the loop
//   1. What a turn's handlers and green threads want from the kernel is queued; it goes out here, once a turn.
//   2. A stream is flushed once a turn, after everything that could have added to its output has run: one send carries
//      all of it.
//      Many streams end the turn, although green threads are runnable.
//   3. One system call submits, waits and keeps the deadline. It waits for more than one completion while many streams
//      are busy: sleeping and waking cost more than anything else the loop does.
//   4. A flush may end something and tell its handler, which may make work: then the loop does not wait.
//   5. Completions are all copied before the first one runs. Running, they only queue and unpark: what they set off
//      runs after Poll has returned, and its operations go out with the next one.
void EventLoop::Poll(int64_t deadline_ns) {
  ++stats_.turns;
  if (polled_ticks_ != 0) stats_.lag.Record(scheduler_->TicksToNs(scheduler_->NowTicks() - polled_ticks_));
  const bool flushed = FlushAll();
  if (flushed) deadline_ns = std::min(deadline_ns, scheduler_->WaitDeadlineNs());
  Wait(deadline_ns);
  polled_ticks_ = scheduler_->NowTicks();
  stats_.completions += ring_->Reap();
}

void EventLoop::Wait(int64_t deadline_ns) {
  if (deadline_ns == 0) return ring_->SubmitAndWait(1, 0);
  const int64_t now_ns = clock()->NowNs();
  if (now_ns >= epoch_end_ns_) {
    // An epoch that ended long ago says nothing about now.
    busy_count_last_ = now_ns < epoch_end_ns_ + kEpochNs ? busy_count_ : 0;
    busy_count_ = 0;
    ++epoch_;
    epoch_end_ns_ = now_ns + kEpochNs;
  }
  const unsigned wait_count = busy_count_last_ / kBusyStreamsPerCompletion;
  if (wait_count > 1 && deadline_ns > now_ns + kPatienceNs) {
    ring_->SubmitAndGather(wait_count, kPatienceNs, deadline_ns);
  } else {
    ring_->SubmitAndWait(1, deadline_ns);
  }
}

void EventLoop::SubmitNow() {
  FlushAll();
  ring_->SubmitAndWait(0, 0);
}

bool EventLoop::FlushAll() {
  const bool any = !to_flush_.empty();
  while (Flushable* flushable = to_flush_.PopFront()) flushable->Flush();
  to_flush_count_ = 0;
  return any;
}

}  // namespace greenring::ioloop
