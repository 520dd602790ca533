// How threads stand in line for something of the module: channels, handles, wait groups.
//
//   PyObject* received = nullptr;
//   switch (WaitInLine(&line, &received, ...)) ...        // until an Answer, the deadline or an interrupt
//
//   line.front()->Answer(WaitResult::kDone);              // whoever has something for it
//
// The rules are those of green/sync/wait_queue.h: an Answer takes the waiter out of all lines of its wait and settles
// it at once, so that nothing handed over is lost; a wait that ends without one has left its lines; a line is served
// from its front. What differs: the GIL guards the lines instead of belonging to one scheduler, so green threads, the
// greenlets of a hub and OS threads may wait for each other.
//
// GIL held everywhere; Park gives it up while it waits.
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "base/intrusive_list.h"
#include "green/scheduler.h"
#include "pyhost/hub_wait.h"
#include "pyhost/python.h"

namespace greenring::pyhost {

enum class WaitResult : uint8_t {
  kDone,
  kClosed,       // channels: nothing more comes, or is taken
  kTimedOut,     // the deadline passed first
  kInterrupted,  // the Python error is set: Cancelled, RequestTimeout, what was thrown into the greenlet, or nobody
                 // could ever answer. A greenlet may have been answered all the same
};

class Wait;

// A place in one line. `value`: to be sent (borrowed: its owner waits), or received (owned, once answered).
class Waiter : public ListLink {
 public:
  // Settles the wait. Any thread. Never parks.
  void Answer(WaitResult result);

  PyObject* value = nullptr;

 private:
  friend class Wait;

  Wait* wait_ = nullptr;
  Waiter* next_ = nullptr;  // of the same wait
};

using Line = IntrusiveList<Waiter>;

// The green thread that runs now; nullptr on an OS thread, and in the child of a fork, which is like one.
green::GreenThread* CurrentGreenThread();

// One wait of the current thread, or greenlet. Where there is a hub it is on the heap, as its Waiters are: while a
// greenlet waits, others use its stack.
class Wait {
 public:
  // `call` is what it is called in dumps.
  explicit Wait(const char* call);
  ~Wait();
  Wait(const Wait&) = delete;
  Wait& operator=(const Wait&) = delete;

  // At the end of `line`. Never parks.
  void StandIn(Line* line, Waiter* waiter);

  // Until an answer. Parks; a greenlet waits in its hub, an OS thread blocks.
  WaitResult Park(int64_t deadline_ns);

  // The place that was answered; nullptr when none was.
  const Waiter* answered() const { return answered_; }

 private:
  friend class Waiter;

  WaitResult ParkGreenThread(int64_t deadline_ns);
  WaitResult ParkGreenlet(int64_t deadline_ns);
  WaitResult BlockOsThread(int64_t deadline_ns);
  void LeaveLines();

  green::GreenThread* const thread_;  // nullptr: an OS thread
  const char* const call_;
  std::optional<HubWait> hub_wait_;       // a greenlet's
  PyThread_type_lock os_lock_ = nullptr;  // held until the answer
  Waiter* first_ = nullptr;
  const Waiter* answered_ = nullptr;
  WaitResult result_ = WaitResult::kDone;
};

// Waits at the end of `line`; `call` is what that is called in dumps. `value` is the waiter's, before and after; it may
// be null. Parks.
WaitResult WaitInLine(Line* line, PyObject** value, int64_t timeout_ns, const char* call);

// The instant `timeout_ns` from now (kNeverNs: never), by the clock of whoever would wait: the current thread.
int64_t DeadlineAfter(int64_t timeout_ns);

}  // namespace greenring::pyhost
