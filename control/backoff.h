// How long to wait before something that has failed is tried again: ever longer, with some jitter so that many do not
// do it together.
//
//   Backoff backoff({.first_ns = 100 * kNanosecondsPerMillisecond, .longest_ns = 30 * kNanosecondsPerSecond});
//   int64_t delay_ns = backoff.Next(&random);
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>

namespace greenring::control {

class Backoff {
 public:
  struct Settings {
    int64_t first_ns;
    int64_t longest_ns;
    bool at_once_first = false;  // the first failure is free
  };

  explicit Backoff(const Settings& settings) : settings_(settings) {}

  // After one more failure: 0 or first_ns, then twice as long each time until longest_ns; and up to a tenth more.
  int64_t Next(std::mt19937_64* random) {
    const int64_t steps = failures_++ - (settings_.at_once_first ? 1 : 0);
    if (steps < 0) return 0;
    const int64_t delay_ns =
        steps >= 32 ? settings_.longest_ns : std::min(settings_.longest_ns, settings_.first_ns << steps);
    return delay_ns + std::uniform_int_distribution<int64_t>(0, delay_ns / 10)(*random);
  }

  void Reset() { failures_ = 0; }

 private:
  const Settings settings_;
  int64_t failures_ = 0;
};

}  // namespace greenring::control
