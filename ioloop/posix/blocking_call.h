// One blocking call of a green thread while it is parked: what it waits for, for how long, and what else may end it.
//
//   BlockingCall call(fd, deadline_ns);
//   for (;;) {
//     ssize_t received = real::recv(fd, data, size, flags | MSG_DONTWAIT);
//     if (received >= 0 || errno != EAGAIN) return received;
//     if (int32_t result = call.AwaitEvents(POLLIN); result < 0) return Fail(result);
//   }
//
// Every wait ends with what came, or with a negative errno:
//
//   -ETIMEDOUT  the deadline (of the monotonic clock)
//   -ECANCELED  Scheduler::Cancel; or -EINTR, where a host answers so (CancelAnswer)
//   -EBADF      another thread closed the descriptor
//   -EINTR      a signal handler ran, and the caller is the green thread that passes for the OS thread
//               (green::SpawnOptions): signals go to the main thread. After a handler with SA_RESTART only calls that
//               are never restarted (signal(7)) end so
//
// On the stack of the green thread that makes the call; made before the first try, so that a close or a signal between
// the try and the wait is not missed.
#pragma once

#include <poll.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "green/parking_lot.h"
#include "green/scheduler.h"
#include "green/scoped_wait.h"
#include "ioloop/event_loop.h"
#include "ioloop/io.h"

namespace greenring::posix {

// Whether the call goes on after a signal handler, if the handler was installed with SA_RESTART.
enum class Restart : uint8_t { kAsHandlerSays, kNever };

class BlockingCall final : private ioloop::WaitGuard {
 public:
  // `fd`: whose close ends the call; -1: none.
  explicit BlockingCall(int fd = -1, int64_t deadline_ns = kNeverNs, Restart restart = Restart::kAsHandlerSays);

  BlockingCall(const BlockingCall&) = delete;
  BlockingCall& operator=(const BlockingCall&) = delete;

  static constexpr int64_t kFirstPauseNs = kNanosecondsPerMillisecond / 2;
  static constexpr int64_t kLongestPauseNs = 16 * kNanosecondsPerMillisecond;

  ioloop::EventLoop* loop() const { return loop_; }
  ioloop::Ring* ring() const { return loop_->ring(); }
  int64_t deadline_ns() const { return deadline_ns_; }
  void set_deadline_ns(int64_t deadline_ns) { deadline_ns_ = deadline_ns; }

  // From here on Scheduler::Cancel does not make it fail: for callers that have no answer to ECANCELED. They may get
  // EINTR, once a call.
  void SurviveCancel() { survives_cancel_ = true; }
  bool cancellable() const override { return !survives_cancel_; }

  // Until somebody unparks the green thread, the deadline, or Cancel unless that is survived. Parks.
  green::ParkResult Park();

  // A wait has ended with kCancelled: what the call ends with, -EINTR or -ECANCELED. Never parks.
  int32_t OnCancelled();

  // One poll(2) event on the descriptor: the mask of what is ready. Parks.
  int32_t AwaitEvents(uint32_t events);

  // One event on any of several descriptors, by way of an epoll descriptor of its own, which sees nothing that was not
  // asked for: a mask of one that is ready, or 0, and the caller looks itself. Several system calls. `guard`: what else
  // ends the wait; nullptr: this call. Parks.
  int32_t AwaitExactly(const pollfd* asked, size_t count, ioloop::WaitGuard* guard = nullptr);

  // An operation that the caller has queued on the ring: its result. It is over when this returns. Parks.
  int32_t Await(ioloop::Operation* operation);

  // Until the deadline, which is 0 here and no error. Parks.
  int32_t Sleep();

  // Sleeps for a time that grows from call to call, for what nobody announces: 0, or how the wait ended. Parks.
  int32_t BackOff(int64_t first_ns = kFirstPauseNs, int64_t longest_ns = kLongestPauseNs);

  // Not 0: the call is to end with this (see above). Never parks.
  int32_t Ended() override;

 private:
  ioloop::EventLoop* const loop_;
  green::GreenThread* const thread_;
  const int fd_;
  const green::ScopedWait noted_;
  int64_t deadline_ns_;
  int64_t back_off_ns_ = 0;
  bool survives_cancel_ = false;
  bool waits_on_ = false;     // the answer to a cancellation that is survived
  bool interrupted_ = false;  // the answer was EINTR
  const std::atomic<uint32_t>* const interruptions_;
  const uint32_t interruptions_seen_;
  std::optional<green::ParkingLot::Waiter> closed_;
};

// The seam for a host that makes cancellations its own (exceptions, say). Both functions are called on the green thread
// in question, perhaps without what the host needs for its own code (the GIL), and never park.
struct CancelAnswer {
  // A wait has ended with Scheduler::Cancel. EINTR: the call ends as if a signal handler had run; called again, it will
  // ask again. ECANCELED: the call fails. 0: it goes on waiting, and asks no more. Where `may_fail` is false, ECANCELED
  // is no answer (locks, whose callers would take it for theirs).
  int (*on_cancelled)(bool may_fail);

  // A call for a lock begins. Whether the last answer was EINTR and is still unheeded: then the call waits until it has
  // the lock. Asked only while a cancellation is pending.
  bool (*is_unheeded)();
};

// At most one, before any interception. Without a host: ECANCELED, and locks wait on.
void SetCancelAnswer(const CancelAnswer& answer);

// How a lock's wait goes on (AwaitLock): from the answer above, EINTR or 0.
bool IsUnheeded();
int AnswerCancel(bool may_fail);

// Sets errno and returns -1, for a negative errno; `result` itself else.
int64_t ReturnOrFail(int64_t result);

// Whether the kernel takes it for a duration: not negative, nanoseconds of less than a second.
bool IsValidDuration(const timespec& duration);

// The instant of the monotonic clock that a caller's time means. Saturates.
int64_t DeadlineAfterMs(int timeout_ms);                       // poll's: negative is never
int64_t DeadlineAfter(const timespec* duration);               // nullptr is never
int64_t DeadlineAt(clockid_t clock, const timespec* instant);  // nullptr is never

// Whether read and its like are to return at once, by the descriptor's flags. One system call.
bool IsNonBlocking(int fd);

// What stands in the parking lot for a descriptor: its close wakes whoever waits for this address. Never parks.
const void* ParkingAddressOf(int fd);

// Wakes the green threads that are parked on `fd`: it is about to be closed, or to become another file. What the
// caller's loop has queued for it is submitted before: an operation's descriptor is looked up then. Thread-safe. Never
// parks.
void WakeParkedOn(int fd);

// Signal handlers that have run in this process; grows with every InterruptMainThread.
extern constinit std::atomic<uint32_t> handlers_run;

// A signal handler has run: calls of the main green thread that it interrupts end with EINTR. Async-signal-safe.
void InterruptMainThread(Restart restart);

// Whose green thread passes for the OS thread that signals mean; nullptr: nobody's. (ScopedInterception sets it.)
void SetInterruptible(green::Scheduler* scheduler);

}  // namespace greenring::posix
