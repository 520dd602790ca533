// Timers of a world in which time passes only when the test says so.
//
//   SimTimers timers;
//   timers.Advance(5 * kNanosecondsPerSecond);      // what is due on the way happens, in order
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "control/timers.h"

namespace greenring::control {

class SimTimers final : public Timers {
 public:
  int64_t NowNs() override { return now_ns_; }
  int64_t UnixNs() override { return now_ns_; }

  std::unique_ptr<Timer> After(int64_t delay_ns, std::function<void()> function) override {
    auto state = std::make_shared<std::function<void()>>(std::move(function));
    due_.emplace(std::pair(now_ns_ + delay_ns, ++sequence_), state);
    return std::make_unique<SimTimer>(std::move(state));
  }

  void Advance(int64_t duration_ns) {
    const int64_t until_ns = now_ns_ + duration_ns;
    while (!due_.empty() && due_.begin()->first.first <= until_ns) {
      auto first = due_.extract(due_.begin());
      if (first.key().first > now_ns_) now_ns_ = first.key().first;
      if (!*first.mapped()) continue;
      const std::function<void()> function = std::exchange(*first.mapped(), nullptr);
      function();
    }
    now_ns_ = until_ns;
  }

  // What is due now.
  void Settle() { Advance(0); }

  // That have neither happened nor been cancelled.
  int pending() const {
    int count = 0;
    for (const auto& [when, function] : due_) count += *function ? 1 : 0;
    return count;
  }

 private:
  class SimTimer final : public Timer {
   public:
    explicit SimTimer(std::shared_ptr<std::function<void()>> function) : function_(std::move(function)) {}
    ~SimTimer() override { *function_ = nullptr; }

   private:
    const std::shared_ptr<std::function<void()>> function_;
  };

  int64_t now_ns_ = 1'700'000'000'000'000'000;
  int64_t sequence_ = 0;
  std::map<std::pair<int64_t, int64_t>, std::shared_ptr<std::function<void()>>> due_;
};

}  // namespace greenring::control
