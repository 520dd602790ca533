#include "tools/greenctl/event_stream.h"

#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "tools/greenctl/commands.h"
#include "tools/greenctl/exit_code.h"
#include "tools/greenctl/human.h"
#include "tools/greenctl/resource_name.h"
#include "tools/greenctl/tables.h"

namespace greenring::greenctl {
namespace {

// The stream of events never ends, and does not say where those that come begin. It sends what is known at once; the
// first statistics come behind it. A server without pools has no statistics: then this long after the last event.
constexpr absl::Duration kStatisticsInterval = absl::Milliseconds(100);
constexpr absl::Duration kSilence = absl::Milliseconds(500);

// Ends a stream after a silence.
class SilenceTimer {
 public:
  explicit SilenceTimer(Cancellation* cancellation) : cancellation_(cancellation), thread_([this] { Run(); }) {}
  ~SilenceTimer() {
    {
      absl::MutexLock lock(&mutex_);
      done_ = true;
    }
    thread_.join();
  }

  void Heard() {
    absl::MutexLock lock(&mutex_);
    ++heard_;
  }

 private:
  void Run() {
    absl::MutexLock lock(&mutex_);
    while (!done_ && !expired_) {
      const int heard = heard_;
      auto changed = [this, heard]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return done_ || heard_ != heard; };
      expired_ = !mutex_.AwaitWithTimeout(absl::Condition(&changed), kSilence);
    }
    if (!done_) cancellation_->Cancel();
  }

  Cancellation* const cancellation_;
  mutable absl::Mutex mutex_;
  int heard_ ABSL_GUARDED_BY(mutex_) = 0;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  bool expired_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses the others
};

absl::StatusOr<v1::WatchRequest> RequestFor(const Session& session, const std::vector<std::string>& pools) {
  v1::WatchRequest request;
  for (const std::string& text : pools) {
    const absl::StatusOr<std::string> name = PoolName(text);
    if (!name.ok()) return name.status();
    request.add_pools(*name);
  }
  // In the API 0 means only new ones; to greenctl, all after the one before the first.
  request.set_after_event(session.options().after_event > 0 ? session.options().after_event : -1);
  return request;
}

absl::Status FollowEvents(Session& session, Client& client) {
  const absl::StatusOr<v1::WatchRequest> request = RequestFor(session, session.arguments());
  if (!request.ok()) return request.status();
  Cancellation cancellation;
  Interrupt::Handler handler(session.environment().interrupt, [&cancellation] { cancellation.Cancel(); });
  absl::Status printed;
  const absl::Status status = client.Watch(*request, &cancellation, [&](const v1::WatchResponse& response) {
    printed = PrintWatched(session, response);
    return printed.ok();
  });
  if (cancellation.cancelled()) return WithExitCode(absl::CancelledError("interrupted"), kExitInterrupted);
  return printed.ok() ? status : printed;
}

}  // namespace

absl::Status PrintWatched(Session& session, const v1::WatchResponse& response) {
  if (session.structured()) return session.PrintDocumentLine(response);
  if (response.has_event()) session.out() << EventLine(response.event()) << std::endl;
  if (response.events_lost() > 0) {
    session.err() << "greenctl: " << response.events_lost() << " events were lost: they came too fast" << std::endl;
  }
  return absl::OkStatus();
}

absl::Status PrintKnownEvents(Session& session, Client& client, const std::vector<std::string>& pools) {
  absl::StatusOr<v1::WatchRequest> request = RequestFor(session, pools);
  if (!request.ok()) return request.status();
  *request->mutable_statistics_interval() = ToProto(kStatisticsInterval);
  google::protobuf::RepeatedPtrField<v1::Event> events;
  Cancellation cancellation;
  absl::Status status;
  {
    SilenceTimer silence(&cancellation);
    status = client.Watch(*request, &cancellation, [&](const v1::WatchResponse& response) {
      silence.Heard();
      if (response.has_event()) *events.Add() = response.event();
      return !response.has_statistics();
    });
  }
  if (!status.ok() && !cancellation.cancelled()) return status;
  if (session.structured()) {
    for (const v1::Event& event : events) {
      if (const absl::Status printed = session.PrintDocumentLine(event); !printed.ok()) return printed;
    }
    return absl::OkStatus();
  }
  if (events.empty()) {
    if (!session.options().quiet) session.err() << "no events\n";
    return absl::OkStatus();
  }
  session.Print(EventTable(events, session.options().format == OutputFormat::kWide));
  return absl::OkStatus();
}

absl::Status Events(Session& session) {
  absl::StatusOr<Client*> client = session.client();
  if (!client.ok()) return client.status();
  return session.options().follow ? FollowEvents(session, **client)
                                  : PrintKnownEvents(session, **client, session.arguments());
}

}  // namespace greenring::greenctl
