// The sleep family. A sleep that is over at once still lets every other green thread run.
#include <errno.h>

#include <algorithm>

#include "base/clock.h"
#include "ioloop/posix/blocking_call.h"
#include "ioloop/posix/parking.h"

namespace greenring::posix::parking {
namespace {

// The clocks that advance whether or not this process runs. (For a sleep on its CPU time, or with an alarm that wakes
// the machine, there is only the system's.)
bool IsClockOfTheWorld(clockid_t clock) {
  return clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME || clock == CLOCK_TAI;
}

timespec ToTimespec(int64_t time_ns) { return {time_ns / kNanosecondsPerSecond, time_ns % kNanosecondsPerSecond}; }

int64_t LeftNs(int64_t deadline_ns) { return std::max<int64_t>(0, deadline_ns - Clock::Monotonic()->NowNs()); }

// 0, or a negative errno: -EINTR, -ECANCELED. Parks.
int32_t SleepUntil(int64_t deadline_ns) {
  if (LeftNs(deadline_ns) == 0) {
    ParkingLoop()->scheduler()->Yield();
    return 0;
  }
  return BlockingCall(/*fd=*/-1, deadline_ns, Restart::kNever).Sleep();
}

int32_t SleepFor(const timespec& duration, timespec* remaining) {
  const int64_t deadline_ns = DeadlineAfter(&duration);
  const int32_t result = SleepUntil(deadline_ns);
  if (result != 0 && remaining != nullptr) *remaining = ToTimespec(LeftNs(deadline_ns));
  return result;
}

// The instant may move on the monotonic clock while we sleep (the time was set, the machine was suspended): looked at
// again when it should have come. One that moves nearer is not noticed before.
int32_t SleepUntilInstant(clockid_t clock, const timespec& instant) {
  do {
    const int32_t result = SleepUntil(DeadlineAt(clock, &instant));
    if (result != 0) return result;
  } while (DeadlineAt(clock, &instant) > Clock::Monotonic()->NowNs());
  return 0;
}

}  // namespace

unsigned sleep(unsigned seconds) {
  const timespec duration = {static_cast<time_t>(seconds), 0};
  timespec remaining = {};
  SleepFor(duration, &remaining);
  return static_cast<unsigned>(remaining.tv_sec);  // whole seconds, as glibc
}

int usleep(useconds_t microseconds) {
  const timespec duration = ToTimespec(microseconds * kNanosecondsPerMicrosecond);
  return static_cast<int>(ReturnOrFail(SleepFor(duration, nullptr)));
}

int nanosleep(const timespec* duration, timespec* remaining) {
  return static_cast<int>(ReturnOrFail(IsValidDuration(*duration) ? SleepFor(*duration, remaining) : -EINVAL));
}

// Returns the error's number instead of setting errno.
int clock_nanosleep(clockid_t clock, int flags, const timespec* time, timespec* remaining) {
  if (!IsClockOfTheWorld(clock)) return real::clock_nanosleep.load()(clock, flags, time, remaining);
  if (!IsValidDuration(*time)) return EINVAL;
  return -(flags & TIMER_ABSTIME ? SleepUntilInstant(clock, *time) : SleepFor(*time, remaining));
}

int sched_yield() {
  ParkingLoop()->scheduler()->Yield();
  return 0;
}

}  // namespace greenring::posix::parking
