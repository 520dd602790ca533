#include "ioloop/event_loop.h"

namespace greenring::ioloop {

// Rules of the loop
//   1. What a turn's handlers and green threads want from the kernel is queued; it goes out here, once a turn.
//   2. A stream is flushed once a turn, after everything that could have added to its output has run: one send carries
//      all of it.
//   3. One system call submits, waits and keeps the deadline.
//   4. Completions are all copied before the first one runs. Running, they only queue and unpark: what they set off
//   runs
//      after Poll has returned, and its operations go out with the next one.
void EventLoop::Poll(int64_t deadline_ns) {
  ++stats_.turns;
  FlushAll();
  ring_->SubmitAndWait(1, deadline_ns);
  stats_.completions += ring_->Reap();
}

void EventLoop::SubmitNow() {
  FlushAll();
  ring_->SubmitAndWait(0, 0);
}

void EventLoop::FlushAll() {
  while (Flushable* flushable = to_flush_.PopFront()) flushable->Flush();
}

}  // namespace greenring::ioloop
