// poll(2) with a deadline in place of a timeout. On a green thread it is the executable's own, which parks.
#pragma once

#include <poll.h>
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <span>

#include "base/clock.h"

namespace greenring::pyhost {

// Until something is ready, or `deadline_ns` of the monotonic clock (kNeverNs: never); one that has passed: does not
// wait. As ppoll(2), with its errors. Without the GIL. Parks.
inline int PollUntil(std::span<pollfd> polled, int64_t deadline_ns) {
  if (deadline_ns == kNeverNs) return ppoll(polled.data(), polled.size(), nullptr, nullptr);
  const int64_t left_ns = std::max<int64_t>(deadline_ns - Clock::Monotonic()->NowNs(), 0);
  const timespec left = {.tv_sec = left_ns / kNanosecondsPerSecond, .tv_nsec = left_ns % kNanosecondsPerSecond};
  return ppoll(polled.data(), polled.size(), &left, nullptr);
}

}  // namespace greenring::pyhost
