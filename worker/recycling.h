// When a worker should be replaced although nothing is wrong with it: so many requests, so much memory, so long a life.
//
//   Recycling recycling(&scheduler, &service, [&] { return usage.RssBytes(); }, random, &observer);
//   recycling.Apply({.requests_max = 10'000, .requests_jitter = 1'000});
//   ...                                          // observer.OnUnfit("it has served 10417 requests"), once
//
// The worker goes on: what is to be done about it is the observer's business. Loop's thread only. Never parks.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/clock.h"
#include "green/scheduler.h"
#include "green/timer_queue.h"
#include "worker/http_service.h"

namespace greenring::worker {

// 0: never.
struct RecyclingOptions {
  int64_t requests_max = 0;
  int64_t requests_jitter = 0;  // up to so many more
  int64_t rss_bytes_max = 0;
  int64_t lifetime_max_ns = 0;  // since the Recycling was made
};

class Recycling {
 public:
  class Observer {
   public:
    // Why, in words. Once. On a core, or in the loop's context; never parks.
    virtual void OnUnfit(const std::string& reason) = 0;

   protected:
    ~Observer() = default;
  };

  // `random` is from 0 to UINT64_MAX, drawn once, so that what is applied later moves no worker's limit by chance.
  Recycling(green::Scheduler* scheduler, HttpService* service, std::function<int64_t()> rss_bytes, uint64_t random,
            Observer* observer);
  ~Recycling();
  Recycling(const Recycling&) = delete;
  Recycling& operator=(const Recycling&) = delete;

  // Holds from now on; requests and time count from the start.
  void Apply(const RecyclingOptions& options);

  // HttpService's observer was told.
  void OnRequestLimit();

  // How late memory is noticed.
  static constexpr int64_t kLookNs = kNanosecondsPerSecond;

 private:
  struct LookTimer : green::Timer {
    explicit LookTimer(Recycling* recycling)
        : Timer([](Timer* timer) { static_cast<LookTimer*>(timer)->recycling->Look(); }), recycling(recycling) {}
    Recycling* const recycling;
  };

  void Look();
  void Tell(const std::string& reason);

  green::Scheduler* const scheduler_;
  HttpService* const service_;
  const std::function<int64_t()> rss_bytes_;
  const uint64_t random_;
  Observer* const observer_;
  const int64_t started_ns_;
  RecyclingOptions options_;
  LookTimer timer_{this};
  bool told_ = false;
};

}  // namespace greenring::worker
