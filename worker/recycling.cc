#include "worker/recycling.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace greenring::worker {

Recycling::Recycling(green::Scheduler* scheduler, HttpService* service, std::function<int64_t()> rss_bytes,
                     uint64_t random, Observer* observer)
    : scheduler_(scheduler),
      service_(service),
      rss_bytes_(std::move(rss_bytes)),
      random_(random),
      observer_(observer),
      started_ns_(scheduler->clock()->NowNs()) {}

Recycling::~Recycling() { scheduler_->RemoveTimer(&timer_); }

void Recycling::Apply(const RecyclingOptions& options) {
  options_ = options;
  if (told_) return;
  uint64_t limit = 0;
  if (options.requests_max > 0) {
    const uint64_t jitter = static_cast<uint64_t>(std::max<int64_t>(options.requests_jitter, 0));
    limit = static_cast<uint64_t>(options.requests_max) + random_ % (jitter + 1);
  }
  service_->SetRequestLimit(limit);
  scheduler_->RemoveTimer(&timer_);
  Look();
}

void Recycling::OnRequestLimit() {
  Tell(absl::StrCat("it has served ", service_->statistics().requests(), " requests"));
}

// Sleeps until there can be something to see: with a limit for memory, for a second.
void Recycling::Look() {
  const int64_t now_ns = scheduler_->clock()->NowNs();
  int64_t next_ns = kNeverNs;
  if (options_.lifetime_max_ns > 0) {
    next_ns = InstantAfter(started_ns_, options_.lifetime_max_ns);
    if (now_ns >= next_ns) {
      return Tell(absl::StrCat(
          "it has lived for ",
          absl::FormatDuration(absl::Trunc(absl::Nanoseconds(now_ns - started_ns_), absl::Milliseconds(1)))));
    }
  }
  if (options_.rss_bytes_max > 0) {
    next_ns = std::min(next_ns, now_ns + kLookNs);
    if (const int64_t bytes = rss_bytes_(); bytes > options_.rss_bytes_max) {
      return Tell(absl::StrCat("its resident memory is ", bytes / (1 << 20), " MiB, more than ",
                               options_.rss_bytes_max / (1 << 20), " MiB"));
    }
  }
  if (next_ns != kNeverNs) scheduler_->AddTimer(&timer_, next_ns);
}

void Recycling::Tell(const std::string& reason) {
  if (std::exchange(told_, true)) return;
  service_->SetRequestLimit(0);
  scheduler_->RemoveTimer(&timer_);
  observer_->OnUnfit(reason);
}

}  // namespace greenring::worker
