// Polls on the ring for several descriptors as one wait: the parking of poll, select and epoll_wait.
//
//   int result = AskUntil(fds, count, deadline_ns, [&] { return real::poll(fds, count, 0); });
//
// The ring only says when it is worth while to ask again; `ask`, which never waits, decides what is ready and what is
// an error. On green threads only.
#pragma once

#include <errno.h>
#include <poll.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "green/parking_lot.h"
#include "green/scheduler.h"
#include "green/scoped_wait.h"
#include "ioloop/io.h"
#include "ioloop/posix/blocking_call.h"
#include "ioloop/ring.h"

namespace greenring::posix {

class PollGroup final : private ioloop::WaitGuard {
 public:
  // One descriptor's poll. Made by the caller, for as long as the group lives.
  class Place;

  // In line for the close of each descriptor from here on: made before the asking whose answer makes one wait.
  // Descriptors below 0 are left out. Never parks.
  PollGroup(BlockingCall* call, const pollfd* asked, size_t count, Place* places);

  PollGroup(const PollGroup&) = delete;
  PollGroup& operator=(const PollGroup&) = delete;

  // 0: one of them is ready or was closed; a negative errno: how else the call ended (blocking_call.h). All polls are
  // over when it returns. Once. Parks.
  int32_t Wait();

 private:
  int32_t Ended() override;
  bool cancellable() const override { return call_->cancellable(); }
  int32_t ParkUntilOneIsOver();
  void EndAll();

  BlockingCall* const call_;
  green::GreenThread* const thread_;
  const pollfd* const asked_;
  const size_t count_;
  Place* const places_;
  size_t in_flight_ = 0;
  bool is_ready_ = false;       // an event that was asked for has come
  bool is_distracted_ = false;  // one that was not
};

class PollGroup::Place final : public ioloop::Completion {
 private:
  friend class PollGroup;

  void OnComplete(int32_t result, uint32_t flags) override;

  PollGroup* group_ = nullptr;
  uint32_t events_ = 0;
  bool in_flight_ = false;
  std::optional<green::ParkingLot::Waiter> closed_;
};

// As many places as needed: a few on the stack, more on the heap.
class PollPlaces {
 public:
  explicit PollPlaces(size_t count);

  // nullptr: no memory.
  PollGroup::Place* get() { return places_; }

 private:
  static constexpr size_t kFew = 4;

  PollGroup::Place few_[kFew];
  std::unique_ptr<PollGroup::Place[]> many_;
  PollGroup::Place* places_;
};

// After `ask` has answered 0: parks until one of `asked` is worth asking for, and calls it again, until it answers
// other than 0 or the deadline has passed (then once more). Its result, or -1 and errno: EINTR after any signal
// handler, ENOMEM, and ECANCELED unless it `survives_cancel`.
template <typename Ask>
int AskUntil(const pollfd* asked, size_t count, int64_t deadline_ns, Ask ask, bool survives_cancel = false) {
  BlockingCall call(/*fd=*/-1, deadline_ns, Restart::kNever);
  const green::ScopedWait noted(green::GreenThread::Current(), {.fd = count == 1 ? asked->fd : -1});
  if (survives_cancel) call.SurviveCancel();
  PollPlaces places(count);
  if (places.get() == nullptr) return static_cast<int>(ReturnOrFail(-ENOMEM));
  for (int rounds = 0;; ++rounds) {
    PollGroup group(&call, asked, count, places.get());
    if (const int result = rounds > 0 ? ask() : 0; result != 0) return result;
    int32_t ended = 0;
    // Others were faster; or it is what a poll always reports and select does not ask for: a hang-up.
    if (rounds > 1) ended = call.BackOff(100 * kNanosecondsPerMicrosecond, 4 * kNanosecondsPerMillisecond);
    if (ended == 0) ended = group.Wait();
    if (ended == -ETIMEDOUT) return ask();
    if (ended < 0) return static_cast<int>(ReturnOrFail(ended));
  }
}

}  // namespace greenring::posix
