// What sends signals by itself: timers, schedules, and files that change.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "control/uwsgi/signal_board.h"

namespace greenring::control {
namespace {

constexpr int64_t kMinuteNs = 60 * kNanosecondsPerSecond;
// A clock that was put back by more is taken for right.
constexpr int64_t kMinutesBackMax = 180;

}  // namespace

// What another worker has said while it imported the application, and this one has not said yet.
SignalBoard::Source* SignalBoard::Adopt(WorkerNumber worker, const Source& wanted) {
  const auto found = std::find_if(sources_.begin(), sources_.end(), [&](const Source& source) {
    return source.shared && source.kind == wanted.kind && source.signal == wanted.signal &&
           source.timer == wanted.timer && source.cron == wanted.cron && source.path == wanted.path &&
           !source.workers.contains(worker);
  });
  return found != sources_.end() ? &*found : nullptr;
}

// Nullptr: there is one already, which is this worker's, too.
absl::StatusOr<SignalBoard::Source*> SignalBoard::AddSource(WorkerNumber worker, Source source) {
  if (absl::Status status = CheckSignal(source.signal); !status.ok()) return status;
  source.shared = !workers_[worker].ready;
  if (Source* const same = source.shared ? Adopt(worker, source) : nullptr; same != nullptr) {
    Claimed(same, worker);
    return nullptr;
  }
  const auto of_kind =
      std::count_if(sources_.begin(), sources_.end(), [&](const Source& other) { return other.kind == source.kind; });
  if (of_kind >= kSourcesMax) {
    constexpr const char* kNames[] = {"timers", "cron schedules", "file monitors"};
    return absl::ResourceExhaustedError(absl::StrCat("the pool has ", kSourcesMax, " ",
                                                     kNames[static_cast<int>(source.kind)], ", and may have no more"));
  }
  sources_.push_back(std::move(source));
  Claimed(&sources_.back(), worker);
  return &sources_.back();
}

void SignalBoard::Remove(std::list<Source>::iterator source) {
  if (source->kind == Kind::kFile) files_.Remove(source->file);
  sources_.erase(source);
}

// ---- timers --------------------------------------------------------------------------------------------------------

absl::Status SignalBoard::AddTimer(WorkerNumber worker, int signal, const Timer& timer) {
  if (timer.period_ns < kPeriodMinNs || timer.period_ns > kPeriodMaxNs) {
    return absl::InvalidArgumentError("the period of a timer is one millisecond at least, and a hundred years at most");
  }
  if (timer.iterations < 0) return absl::InvalidArgumentError("a timer has 0 iterations, for ever, or more");
  Source wanted(Kind::kTimer, signal);
  wanted.timer = timer;
  const absl::StatusOr<Source*> source = AddSource(worker, std::move(wanted));
  if (!source.ok()) return source.status();
  if (*source == nullptr) return absl::OkStatus();
  (*source)->due_ns = timers_->NowNs() + timer.period_ns;
  SetAlarm(*source);
  return absl::OkStatus();
}

void SignalBoard::SetAlarm(Source* source) {
  source->alarm =
      timers_->After(std::max<int64_t>(source->due_ns - timers_->NowNs(), 0), [this, source] { OnAlarm(source); });
}

void SignalBoard::OnAlarm(Source* source) {
  source->alarm.reset();
  // To nobody: the worker that would take it is being replaced.
  Send(source->signal, /*by_itself=*/true).IgnoreError();
  ++source->sent;
  if (source->timer.iterations > 0 && source->sent >= source->timer.iterations) {
    if (source->shared) return;  // kept: a worker that imports the application later says it again
    return Remove(std::find_if(sources_.begin(), sources_.end(), [&](const Source& one) { return &one == source; }));
  }
  const int64_t now_ns = timers_->NowNs();
  if (source->timer.from_last) {
    source->due_ns = now_ns + source->timer.period_ns;
  } else {
    // What was missed is not made up for.
    const int64_t late_ns = now_ns - source->due_ns;
    source->due_ns += (late_ns / source->timer.period_ns + 1) * source->timer.period_ns;
  }
  SetAlarm(source);
}

// ---- schedules -----------------------------------------------------------------------------------------------------

absl::Status SignalBoard::AddCron(WorkerNumber worker, int signal, const CronSchedule& schedule) {
  if (absl::Status status = schedule.Validate(); !status.ok()) return status;
  Source wanted(Kind::kCron, signal);
  wanted.cron = schedule;
  const absl::StatusOr<Source*> source = AddSource(worker, std::move(wanted));
  if (!source.ok()) return source.status();
  if (minute_ == nullptr) {
    last_minute_ = timers_->UnixNs() / kMinuteNs;  // the first minute is the next one
    AwaitMinute();
  }
  return absl::OkStatus();
}

void SignalBoard::AwaitMinute() {
  minute_ = timers_->After(kMinuteNs - timers_->UnixNs() % kMinuteNs, [this] { OnMinute(); });
}

void SignalBoard::OnMinute() {
  minute_.reset();
  const int64_t minute = timers_->UnixNs() / kMinuteNs;
  if (minute > last_minute_ || minute < last_minute_ - kMinutesBackMax) {
    last_minute_ = minute;
    for (const Source& source : sources_) {
      if (source.kind != Kind::kCron || !source.cron.IsDue(minute * 60)) continue;
      Send(source.signal, /*by_itself=*/true).IgnoreError();
    }
  }
  if (std::any_of(sources_.begin(), sources_.end(), [](const Source& one) { return one.kind == Kind::kCron; })) {
    AwaitMinute();
  }
}

// ---- files ---------------------------------------------------------------------------------------------------------

absl::Status SignalBoard::AddFileMonitor(WorkerNumber worker, int signal, const std::string& path) {
  Source wanted(Kind::kFile, signal);
  wanted.path = path;
  const absl::StatusOr<Source*> source = AddSource(worker, std::move(wanted));
  if (!source.ok()) return source.status();
  if (*source == nullptr) return absl::OkStatus();
  const absl::StatusOr<int> file = files_.Add(path, [this, signal] { Send(signal, /*by_itself=*/true).IgnoreError(); });
  if (file.ok()) {
    (*source)->file = *file;
  } else {
    sources_.pop_back();
  }
  return file.status();
}

}  // namespace greenring::control
