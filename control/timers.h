// Time as the master's policies see it: an instant, and something to do later. Tests own it (sim_timers.h).
//
//   std::unique_ptr<Timers::Timer> timer = timers->After(5 * kNanosecondsPerSecond, [this] { GiveUp(); });
//   timer.reset();                                                        // it does not happen
//
// On the reactor's thread only; nothing blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "google/protobuf/timestamp.pb.h"
#include "google/protobuf/util/time_util.h"

namespace greenring::control {

class Timers {
 public:
  // Deleting it cancels it, also from within its own function.
  class Timer {
   public:
    virtual ~Timer() = default;
  };

  virtual ~Timers() = default;

  // Of CLOCK_MONOTONIC.
  virtual int64_t NowNs() = 0;

  // Since 1970.
  virtual int64_t UnixNs() = 0;

  // Calls `function` once, after `delay_ns`, and never from within this call. The timers may be gone before the Timer.
  [[nodiscard]] virtual std::unique_ptr<Timer> After(int64_t delay_ns, std::function<void()> function) = 0;

  google::protobuf::Timestamp WallTime() { return google::protobuf::util::TimeUtil::NanosecondsToTimestamp(UnixNs()); }
};

}  // namespace greenring::control
