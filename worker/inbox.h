// Takes the connections that other pools' workers hand to this one's.
//
//   Inbox inbox(&loop, std::move(socket), &handler);
//   inbox.Start();                      // handler.OnHandedOver for each connection
//   inbox.Stop();                       // handler.OnInboxStopped follows
//
// All workers of a pool take from the one socket, by turns: each waits exclusively, so that a connection wakes one of
// them, takes one, and goes to the end of the kernel's queue. One poll and one recvmsg for a connection: who is idle
// gets the next one, and nobody takes what another could begin at once. (Taking all that is there would save the polls,
// and put a burst on the worker that woke first.)
//
// Loop's thread only; handlers are called in the loop's context.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "green/timer_queue.h"
#include "ioloop/event_loop.h"
#include "ioloop/ring.h"
#include "worker/hand_over.h"

namespace greenring::worker {

class Inbox final : private ioloop::Completion, private ioloop::Flushable {
 public:
  class Handler {
   public:
    // Never parks.
    virtual void OnHandedOver(HandedConnection connection) = 0;

    // One is lost, or was none: `why` in words.
    virtual void OnLost(const std::string& why) = 0;

    // After Stop: it may be destroyed (from within this call too).
    virtual void OnInboxStopped(Inbox* inbox) = 0;

   protected:
    ~Handler() = default;
  };

  Inbox(ioloop::EventLoop* loop, UniqueFd socket, Handler* handler);
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;
  ~Inbox();  // checked: not started, or stopped

  // Once. Never parks.
  void Start();

  // What waits is left to the pool's other workers; one connection may still come, for which the kernel had woken this
  // one when it was asked to stop. Idempotent. Never parks.
  void Stop();

  // Out of descriptors (or of the kernel's memory): the connection is lost, and the next ones are left to others for so
  // long.
  static constexpr int64_t kExhaustedPauseNs = 100 * kNanosecondsPerMillisecond;

 private:
  enum class State : uint8_t {
    kOpen,      // not started, or between two polls
    kWaiting,   // a poll is in flight
    kPaused,    // out of descriptors; the timer is armed
    kEnded,     // nobody can send any more
    kStopping,  // the poll is being cancelled, or only the end of the turn is missing
    kStopped,
  };
  struct PauseTimer : green::Timer {
    explicit PauseTimer(Inbox* owner);
    Inbox* const owner;
  };

  void Wait();
  // What becomes of it next, if it is not to stop.
  State TakeOne(bool hung_up);
  void OnComplete(int32_t result, uint32_t flags) override;
  void Flush() override;

  ioloop::EventLoop* const loop_;
  const UniqueFd socket_;
  Handler* const handler_;
  PauseTimer timer_{this};
  State state_ = State::kOpen;
};

}  // namespace greenring::worker
