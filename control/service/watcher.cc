#include "control/service/watcher.h"

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <utility>

#include "control/config/field_violations.h"
#include "control/lifetime.h"
#include "control/service/durations.h"
#include "google/protobuf/util/time_util.h"

namespace greenring::control {
namespace {

using google::protobuf::util::TimeUtil;

// As many as the control plane keeps, so that none is lost of those that are asked for at the beginning.
constexpr size_t kQueueLengthMax = 4096;
constexpr int64_t kIntervalMinNs = 100'000'000;
constexpr int64_t kIntervalMaxNs = int64_t{3600} * 1'000'000'000;

v1::WatchResponse Lost(int64_t count) {
  v1::WatchResponse response;
  response.set_events_lost(count);
  return response;
}

}  // namespace

// Calls `tick` at once and then at every interval; ticks that were missed are left out.
class Watcher::Timer {
 public:
  Timer(Reactor* reactor, std::chrono::nanoseconds interval, std::function<void()> tick)
      : interval_(interval), tick_(std::move(tick)), timer_(*reactor->context()) {
    Tick();
  }

 private:
  void Tick() {
    tick_();
    timer_.expires_after(interval_);
    timer_.async_wait(lifetime_.Guard([this](const boost::system::error_code& error) {
      if (!error) Tick();
    }));
  }

  const std::chrono::nanoseconds interval_;
  const std::function<void()> tick_;
  boost::asio::steady_timer timer_;
  const Lifetime lifetime_;
};

std::shared_ptr<WatchStream> Watcher::BeginStream(std::shared_ptr<OpenCalls> calls, std::function<void()> ended) {
  WatchStream::Options options;
  options.queue_length_max = kQueueLengthMax;
  options.lost = Lost;
  options.ended = std::move(ended);
  return WatchStream::Begin(std::move(calls), std::move(options));
}

absl::Status Watcher::Check(const v1::WatchRequest& request, ControlPlane* plane) {
  if (request.after_event() < -1) return ToStatus({{"after_event", "must be an event's id, 0 or -1"}});
  if (request.has_statistics_interval()) {
    const absl::StatusOr<int64_t> interval_ns =
        ToNanoseconds("statistics_interval", request.statistics_interval(), kIntervalMinNs, kIntervalMaxNs);
    if (!interval_ns.ok()) return interval_ns.status();
  }
  return CheckHasHappened(plane, request.after_event(), "watch all with after_event=-1");
}

Watcher::Watcher(const v1::WatchRequest& request, Reactor* reactor, ControlPlane* plane,
                 std::shared_ptr<WatchStream> stream)
    : plane_(plane),
      stream_(std::move(stream)),
      pools_(request.pools().begin(), request.pools().end()),
      filter_(plane, pools_) {
  if (request.after_event() != 0) Replay(request.after_event());
  plane_->AddObserver(this);
  if (!request.has_statistics_interval()) return;
  const std::chrono::nanoseconds interval(TimeUtil::DurationToNanoseconds(request.statistics_interval()));
  timer_ = std::make_unique<Timer>(reactor, interval, [this] { WriteStatistics(); });
}

Watcher::~Watcher() { plane_->RemoveObserver(this); }

void Watcher::Replay(int64_t after_event) {
  const std::vector<v1::Event> events = plane_->EventsAfter(after_event);
  if (events.empty()) return;
  const int64_t forgotten = events.front().id() - after_event - 1;
  if (after_event > 0 && forgotten > 0) stream_->AddLost(forgotten);
  for (const v1::Event& event : events) OnEvent(event);
}

void Watcher::OnEvent(const v1::Event& event) {
  if (!filter_.Wants(event)) return;
  v1::WatchResponse response;
  *response.mutable_event() = event;
  stream_->Push(std::move(response));
}

void Watcher::WriteStatistics() {
  if (!stream_->idle()) return;  // a client that does not keep up gets the next ones
  for (v1::PoolStatistics& statistics : plane_->ListStatistics(pools_)) {
    v1::WatchResponse response;
    *response.mutable_statistics() = std::move(statistics);
    stream_->Push(std::move(response), /*count=*/0);
  }
}

}  // namespace greenring::control
