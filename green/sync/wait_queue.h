// How green threads stand in line for something: shared by the tools in this folder, not meant for others.
//
//   Waiter waiter;                                       // on the stack of the green thread that waits
//   return ParkInLine(&line_, &waiter, deadline_ns, "semaphore");     // until an Answer, the deadline or a
//   cancellation
//
//   line_.front()->Answer(WaitResult::kDone);            // whoever has something for it
//
// Rules
//   1. Answer takes the waiter out of its line and settles the wait at once: what it hands over (the lock, permits, an
//      item) is the waiter's from then on. A deadline that passes or a Cancel that comes before the waiter has run
//      again changes nothing any more, so nothing handed over is lost.
//   2. A wait that ends without an answer has left its line when Park returns: nothing is handed to it afterwards.
//   3. A line is served from its front: first come, first served.
//   4. One Wait may stand in several lines (Select): the first answer takes it out of all of them.
//   5. A permit that somebody else left on the green thread (Scheduler rule 3) ends no wait.
//
// Nothing is allocated. A Wait and its Waiters live on the waiting green thread's stack. Scheduler's thread only.
#pragma once

#include <cstdint>

#include "base/check.h"
#include "base/clock.h"
#include "base/intrusive_list.h"
#include "green/scheduler.h"
#include "green/scoped_wait.h"

namespace greenring::green {

// How a wait ended.
enum class WaitResult : uint8_t {
  kDone,       // with what it waited for
  kTimedOut,   // the deadline passed first
  kCancelled,  // Scheduler::Cancel; stays pending until ClearCancel. Never when there is nothing to wait for
  kClosed,     // channels only: closed, and nothing left to receive
};

// The green thread that runs now. There must be one (checked): waiting is for green threads, not for the loop or for
// other OS threads. Never parks.
inline GreenThread* CurrentGreenThread() {
  Scheduler* scheduler = Scheduler::Current();
  GREENRING_CHECK(scheduler != nullptr && scheduler->current() != nullptr && "this needs to run on a green thread");
  return scheduler->current();
}

class Wait;

// A place in one line. Types with more to say (how many permits, where the item goes) derive from it.
class Waiter : public ListLink {
 public:
  // Settles the wait, see rule 1. Also from the loop's context. Never parks.
  void Answer(WaitResult result);

 private:
  friend class Wait;

  Wait* wait_ = nullptr;
  Waiter* next_ = nullptr;  // of the same wait
};

// One wait of the current green thread.
class Wait {
 public:
  // `call`: what it is called in dumps; `tool`: whose line it is.
  Wait(const char* call, const void* tool)
      : thread_(CurrentGreenThread()), noted_(thread_, {.call = call, .object = tool}) {}
  Wait(const Wait&) = delete;
  Wait& operator=(const Wait&) = delete;

  // Makes `waiter`, which stands in a line or will before the Park, a place of this wait. Never parks.
  void Join(Waiter* waiter) {
    waiter->wait_ = this;
    waiter->next_ = first_;
    first_ = waiter;
  }

  // Waits for an answer. Parks.
  WaitResult Park(int64_t deadline_ns) {
    for (;;) {
      const ParkResult parked = thread_->scheduler()->Park(deadline_ns);
      if (answered_ != nullptr) return result_;
      if (parked == ParkResult::kUnparked) continue;
      LeaveLines();
      return parked == ParkResult::kTimedOut ? WaitResult::kTimedOut : WaitResult::kCancelled;
    }
  }

  // The same through cancellations, which stay pending, and without a deadline. Parks.
  WaitResult ParkUncancellable() {
    do {
      thread_->scheduler()->ParkUncancellable();
    } while (answered_ == nullptr);
    return result_;
  }

  // The place that was answered; nullptr when none was.
  const Waiter* answered() const { return answered_; }

 private:
  friend class Waiter;

  void LeaveLines() {
    for (Waiter* waiter = first_; waiter != nullptr; waiter = waiter->next_) waiter->Unlink();
  }

  GreenThread* const thread_;
  const ScopedWait noted_;
  Waiter* first_ = nullptr;
  const Waiter* answered_ = nullptr;
  WaitResult result_ = WaitResult::kDone;
};

inline void Waiter::Answer(WaitResult result) {
  Wait* const wait = wait_;
  GREENRING_DCHECK(wait->answered_ == nullptr);
  wait->LeaveLines();
  wait->answered_ = this;
  wait->result_ = result;
  // If its deadline or a cancellation has made it runnable already, it will see the answer; a permit would outlive it.
  GreenThread* const thread = wait->thread_;
  if (thread->state() == GreenThread::State::kParked) thread->scheduler()->Unpark(thread);
}

// Waits at the end of `line`; `call` is what that is called in dumps. Parks.
template <typename W>
WaitResult ParkInLine(IntrusiveList<W>* line, W* waiter, int64_t deadline_ns, const char* call) {
  Wait wait(call, line);
  wait.Join(waiter);
  line->PushBack(waiter);
  return wait.Park(deadline_ns);
}

}  // namespace greenring::green
