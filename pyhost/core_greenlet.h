// The greenlet that works in a core's place (engines `greenlet` and `gevent`): what its green thread has to do with it.
//
//   CoreGreenlet place(hub);                                  // on the core's green thread
//   place.Run("GET /", [&] { handler->Handle(...); });        // on a greenlet of the hub's, until it has ended
//
//   // within, on the greenlet, GIL held:
//   place.OnLoop([state] { state->status = request->SendBody(...); });      // on the core's green thread; may park
//
// The core's green thread sleeps while the greenlet runs, and the greenlet waits in its hub while the green thread does
// a call for it. So what a request waits for, be it its client or a descriptor, is waited for on a green thread of its
// own, and the hub needs to know nothing but who is due.
//
// An exception from outside is raised in the request's greenlets, and in no other:
//
//   it waits for a call of ours        the call is ended; who called raises what is pending
//   it waits in the hub                it is thrown into the greenlet there
//   it runs, or blocks the hub         the hub's green thread is interrupted (interrupt.h) while it is in the greenlet
//
// Greenlets that it switches to by itself (greenlet.greenlet(f).switch()) count as the request's; those that gevent
// spawns are their own.
//
// Made, used and destroyed on one green thread, but for what says otherwise. Scheduler's thread only.
#pragma once

#include <poll.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/intrusive_list.h"
#include "green/scheduler.h"
#include "pyhost/greenlet_account.h"
#include "pyhost/hub.h"
#include "pyhost/interrupt.h"
#include "pyhost/py_ref.h"

namespace greenring::pyhost {

class CoreGreenlet final : public Hub::Due, public GreenletAccount {
 public:
  // Of the current green thread, which has none yet.
  explicit CoreGreenlet(Hub* hub);
  // Not within Run.
  ~CoreGreenlet();
  CoreGreenlet(const CoreGreenlet&) = delete;
  CoreGreenlet& operator=(const CoreGreenlet&) = delete;

  // Whose place `thread` is; nullptr: it works itself. Never parks.
  static const CoreGreenlet* Of(const green::GreenThread* thread);

  // That of the greenlet that runs now; nullptr: none does, or it is no request's. GIL held. Never parks.
  static CoreGreenlet* Current();

  // Has `handle` called on a new greenlet `name`, GIL held; returns when that has ended. False: the greenlet was killed
  // before it began, or there is no hub. Parks.
  bool Run(std::string name, std::function<void()> handle);

  // Run has ended because its hub is lost, with the greenlet wherever it was.
  bool lost() const { return lost_; }

  // ---- on a greenlet of the hub's, GIL held ----

  enum class CallEnd : uint8_t {
    kDone,
    kThrown,   // done, or cancelled: an exception was thrown into this greenlet meanwhile. Hub::RaisePending raises it
    kRefused,  // not done: another greenlet is in a call of this request's, or this is the hub itself
  };

  // `call` is done on the core's green thread, where it may park; what it captures is no part of any C stack. Once an
  // exception is on its way, from outside or from another greenlet, it is cancelled. Other greenlets run meanwhile.
  CallEnd OnLoop(std::function<void()> call);

  // At the request's end: what other greenlets do for it in OnLoop is cancelled, and has ended. They are refused from
  // then on.
  void EndCalls();

  // Lets all others that can run do so first. False with the Python error of an interrupt.
  bool Yield();

  // As poll(2), until `deadline_ns` of the monotonic clock. Negative with a Python error: an interrupt's, or OSError.
  int Poll(std::span<pollfd> polled, int64_t deadline_ns);

  // Raises the first that is posted, as the Python error of the caller. False: there is none.
  bool RaisePending();

  // ---- for who interrupts it; in any context, with or without the GIL; none of these parks ----

  // As Interruptible's.
  void Post(Interrupt* interrupt);
  void Withdraw(Interrupt* interrupt);

  // As Interruptible's; called at the end of its greenlet, whichever greenlet has bound it. GIL held.
  void Bind(Interruptible::Dependent* dependent) { dependents_.PushBack(dependent); }

  CurrentRequest* request() const { return request_; }
  void set_request(CurrentRequest* request);

  // ---- for those who look at it; none of these parks ----

  // Its greenlet runs, or blocks its hub.
  bool is_current() const { return hub_->current_core() == this; }
  Hub* hub() const { return hub_; }
  green::GreenThread* thread() const { return thread_; }
  int64_t RunNs() const override;
  uint64_t switches() const override { return switches_; }
  const green::GreenThread* runs_on() const override { return is_current() ? hub_->thread() : nullptr; }
  // Innermost last, as FormatPythonStack. GIL held.
  std::string PythonStack() const;

  // ---- for the hub, on its green thread, GIL held ----

  void OnDue() override;
  // `greenlet` is its, and runs now; it does not any more, and had `run_ticks` of the hub's time.
  void OnSwitchedIn(PyObject* greenlet);
  void OnSwitchedOut(uint64_t run_ticks);
  // The hub cannot run it.
  void OnHubBroken() override;
  // In any context: of one that is in Run, and of each of a hub's.
  void OnHubLost() override;
  static void OnHubLost(const Hub* hub);
  // Its greenlet has ended.
  void OnGreenletEnded();

 private:
  // Raised on the hub's green thread while the greenlet runs there: the first that is posted.
  class Relay final : public Interrupt {
   public:
    explicit Relay(CoreGreenlet* core) : core_(core) {}

   private:
    PyObject* NewException() override;
    void OnRaised() override;

    CoreGreenlet* const core_;
  };

  enum class Call : uint8_t { kNone, kAsked, kDone };

  struct Ticket;

  // A greenlet of the request that waits for its turn in Yield; more than one if they switch to each other.
  struct Yielding {
    uint64_t turn;
    PyRef greenlet;
  };

  static PyObject* RunHandle(PyObject* ticket, PyObject* none);
  void BeginGreenlet();
  void RunHandle();
  // Sees to it that the first that is posted is raised. `in_hub`: on the hub's greenlet, GIL held.
  void Deliver(bool in_hub);
  void OnPostedTaken();
  PyObject* TakeFirst();

  Hub* const hub_;
  green::GreenThread* const thread_;
  Relay relay_{this};
  IntrusiveList<Interrupt> posted_;
  IntrusiveList<Interruptible::Dependent> dependents_;
  CurrentRequest* request_ = nullptr;

  std::string name_;
  std::function<void()> handle_;
  std::function<void()> call_;  // to be done on the core's green thread
  Call call_state_ = Call::kNone;
  bool caller_is_own_ = false;  // it is a greenlet of this request that waits for it
  bool ran_ = false;
  bool ended_ = false;
  bool lost_ = false;
  uint64_t yields_ = 0;
  bool ends_calls_ = false;  // another greenlet may still be in OnLoop
  uint64_t run_ticks_ = 0;
  uint64_t switches_ = 0;

  // GIL held to change them; all are empty again at the end of Run.
  PyRef greenlet_;
  PyRef active_;  // of its greenlets the one that ran last
  PyRef caller_;  // that waits in OnLoop
  std::vector<Yielding> yielding_;
  PyRef ticket_;  // the greenlet's function has it too
};

}  // namespace greenring::pyhost
