// When one request must end early: its deadline, the client's disconnect, the worker's drain.
//
//   RequestWatch watch(owner);
//   watch.Begin(scheduler, {.started_ns = now_ns, .timeout_ns = 30 * kNanosecondsPerSecond});    // it is queued
//   watch.SetInterrupter(interrupter);                                                            // a core runs it
//   watch.End();
//
// One timer, which means in its turn:
//
//   kDeadline    queued: the owner answers, and it never runs. Running: the application is interrupted -> kGrace.
//                In close(): -> kCloseGrace
//   kCloseGrace  close() of the response has had its grace: interrupted -> kGrace
//   kGrace       interrupted, and it goes on all the same: overdue -> none
//
// BeginClose brings kGrace back to kCloseGrace: clean-up has the grace for itself. Each grace is counted anew. Loop's
// thread only. Never parks.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "green/scheduler.h"
#include "green/timer_queue.h"
#include "pyhost/exchange.h"

namespace greenring::worker {

struct RequestWatchOptions {
  int64_t started_ns = 0;         // the scheduler's time, or a little less
  int64_t timeout_ns = kNeverNs;  // from started_ns; kNeverNs: none
  int64_t grace_ns = 5 * kNanosecondsPerSecond;
  bool cancel_on_disconnect = false;
};

class RequestWatch final : private green::Timer {
 public:
  // Called in the loop's context, except as said.
  class Owner {
   public:
    // The deadline has passed before a core took the request up. The watch has ended.
    virtual void OnTimedOutInQueue() = 0;

    // The request is to end for `reason`, which is not kNo; the interrupter is told afterwards. Also on a core.
    virtual void OnCutShort(pyhost::CutShort reason) = 0;

    // The grace has passed, and the request runs on; the interrupter is told afterwards.
    virtual void OnOverdue() = 0;

    // The whole response has been given.
    virtual bool finished() const = 0;

   protected:
    ~Owner() = default;
  };

  explicit RequestWatch(Owner* owner) : Timer(&RequestWatch::OnTimer), owner_(owner) {}

  // The request begins. Precondition: no other one is watched.
  void Begin(green::Scheduler* scheduler, const RequestWatchOptions& options);

  // It has ended. Idempotent.
  void End();

  // Who interrupts the application that runs, from now on; nullptr: it has ended.
  void SetInterrupter(pyhost::Exchange::Interrupter* interrupter);

  // See pyhost::Exchange.
  void SetTimeout(int64_t timeout_ns);
  void SetCancelOnDisconnect(bool cancel);
  void BeginClose();

  // The client is gone: the request is cut short, if that is wanted, now or later. Idempotent.
  void OnDisconnect();

  // The worker's patience is over.
  void OnDraining();

  // An operator ends the request, which a core runs (checked), and says why.
  void OnCancelled(const std::string& reason);

  bool cancel_on_disconnect() const { return cancel_on_disconnect_; }
  // The application runs: there is somebody to interrupt.
  bool running() const { return state_ == State::kRunning || state_ == State::kClosing; }
  int64_t started_ns() const { return started_ns_; }
  int64_t deadline_ns() const { return deadline_ns_; }
  pyhost::CutShort cut_short() const { return cut_short_; }
  pyhost::Exchange::Interrupter* interrupter() const { return interrupter_; }

 private:
  enum class State : uint8_t { kEnded, kQueued, kRunning, kClosing };
  enum class Due : uint8_t { kDeadline, kCloseGrace, kGrace, kNothing };

  static void OnTimer(Timer* timer);
  void OnDeadline();
  void Arm(Due due, int64_t at_ns);
  void ArmGrace(Due due);
  void MaybeDisconnect();
  void CutShortFor(pyhost::CutShort reason);
  void TellOwner(pyhost::CutShort reason);

  Owner* const owner_;
  green::Scheduler* scheduler_ = nullptr;
  pyhost::Exchange::Interrupter* interrupter_ = nullptr;
  int64_t started_ns_ = 0;
  int64_t deadline_ns_ = kNeverNs;
  int64_t grace_ns_ = 0;
  State state_ = State::kEnded;
  Due due_ = Due::kDeadline;
  pyhost::CutShort cut_short_ = pyhost::CutShort::kNo;
  bool cancel_on_disconnect_ = false;
  bool disconnected_ = false;
  bool disconnect_told_ = false;
};

}  // namespace greenring::worker
