// Notes what the current green thread waits for, while the object lives.
//
//   ScopedWait wait(thread, {.call = "channel receive", .object = channel});
//   while (!ready) scheduler->Park();
//
// Scopes nest: what an inner one leaves out is the outer one's (a call's name, around the wait for its descriptor), and
// the outer one's note is there again at the inner one's end. A few stores and one look at the processor's counter: for
// those who are about to park. Scheduler's thread only. Never parks.
#pragma once

#include "green/green_thread.h"
#include "green/scheduler.h"
#include "green/wait_note.h"

namespace greenring::green {

class ScopedWait {
 public:
  // `thread` is the current green thread. nullptr: nothing is noted.
  ScopedWait(GreenThread* thread, const WaitNote& note) : thread_(thread) {
    if (thread == nullptr) return;
    WaitNote* const noted = thread->mutable_wait_note();
    before_ = *noted;
    *noted = note;
    if (note.call == nullptr) noted->call = before_.call;
    if (note.fd < 0) noted->fd = before_.fd;
    noted->since_ticks = before_.since_ticks != 0 ? before_.since_ticks : thread->scheduler()->NowTicks();
  }
  ~ScopedWait() {
    if (thread_ != nullptr) *thread_->mutable_wait_note() = before_;
  }
  ScopedWait(const ScopedWait&) = delete;
  ScopedWait& operator=(const ScopedWait&) = delete;

 private:
  GreenThread* const thread_;
  WaitNote before_;
};

// Only the name of a call that may come to wait: two stores.
class ScopedCallName {
 public:
  ScopedCallName(GreenThread* thread, const char* call)
      : note_(thread->mutable_wait_note()), before_(std::exchange(note_->call, call)) {}
  ~ScopedCallName() { note_->call = before_; }
  ScopedCallName(const ScopedCallName&) = delete;
  ScopedCallName& operator=(const ScopedCallName&) = delete;

 private:
  WaitNote* const note_;
  const char* const before_;
};

}  // namespace greenring::green
