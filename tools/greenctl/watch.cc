// watch: statistics and events as they come, a line each; or the progress of an operation.
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "control/config/quantities.h"
#include "tools/greenctl/commands.h"
#include "tools/greenctl/event_stream.h"
#include "tools/greenctl/exit_code.h"
#include "tools/greenctl/human.h"
#include "tools/greenctl/progress.h"
#include "tools/greenctl/resource_name.h"
#include "tools/greenctl/session.h"
#include "tools/greenctl/statistics.h"

namespace greenring::greenctl {
namespace {

// There is no quantile of no requests.
std::string OrDash(absl::Duration duration) { return duration > absl::ZeroDuration() ? HumanDuration(duration) : "-"; }

// The lines of `watch`: statistics in columns, under titles now and then, and events between them.
class WatchPrinter {
 public:
  explicit WatchPrinter(Session* session) : session_(session) {}

  // Whether to go on.
  bool Print(const v1::WatchResponse& response) {
    if (session_->structured()) {
      status_ = session_->PrintDocumentLine(response);
      if (response.has_statistics()) CountInterval(response.statistics().pool());
    } else if (response.has_statistics()) {
      PrintStatistics(response.statistics());
    } else {
      status_ = PrintWatched(*session_, response);
    }
    const int64_t count_max = session_->options().count;
    return status_.ok() && (count_max == 0 || intervals_ < count_max);
  }

  const absl::Status& status() const { return status_; }

 private:
  static constexpr int kLinesUnderTitles = 20;

  // An interval is over when the pool that has had the most lines gets one more.
  void CountInterval(const std::string& pool) { intervals_ = std::max(intervals_, ++lines_by_pool_[pool]); }

  void PrintStatistics(const v1::PoolStatistics& now) {
    Meter& meter = meters_[now.pool()];
    meter.Look(now);
    if (!meter.measured()) return;
    PrintLine(now, meter.pool());
    CountInterval(now.pool());
  }

  void PrintLine(const v1::PoolStatistics& now, const Rates& rates) {
    if (lines_++ % kLinesUnderTitles == 0) {
      session_->out()
          << "TIME      POOL                CORES  QUEUE    REQ/S      P50      P99    ERR/S   CPU      RSS\n";
    }
    const std::string cores = absl::StrCat(now.total().cores_busy(), "/", now.total().cores());
    session_->out() << absl::StrFormat("%s  %-12s %12s %6d %8s %8s %8s %8s %5s %8s", FormatClock(now.time()),
                                       ShortName(now.pool()), cores, now.total().queue_depth(),
                                       HumanCount(rates.requests_per_s), OrDash(rates.run_time_p50),
                                       OrDash(rates.run_time_p99), HumanCount(rates.errors_per_s),
                                       HumanPercent(rates.cpu_percent), HumanBytes(now.total().rss_bytes()))
                    << std::endl;
  }

  Session* const session_;
  std::map<std::string, Meter> meters_;
  std::map<std::string, int64_t> lines_by_pool_;
  int64_t intervals_ = 0;
  int lines_ = 0;
  absl::Status status_;
};

absl::Status WatchOne(Session& session, Client& client, const std::string& text) {
  const absl::StatusOr<std::string> name = OperationName(text);
  if (!name.ok()) return name.status();
  absl::StatusOr<v1::Operation> operation = client.GetOperation(*name);
  if (!operation.ok()) return operation.status();
  const std::string words = absl::StrCat(operation->verb(), " ", ShortName(operation->target()), " done");
  return FinishOperation(session, *std::move(operation), words);
}

}  // namespace

absl::Status Watch(Session& session) {
  absl::StatusOr<Client*> client = session.client();
  if (!client.ok()) return client.status();
  v1::WatchRequest request;
  for (const std::string& text : session.arguments()) {
    if (absl::StartsWith(text, "operations/")) {
      if (session.arguments().size() == 1) return WatchOne(session, **client, text);
      return UsageError("an operation is watched alone");
    }
    const absl::StatusOr<std::string> name = PoolName(text);
    if (!name.ok()) return name.status();
    request.add_pools(*name);
  }
  *request.mutable_statistics_interval() = control::ToProto(session.options().interval);
  Cancellation cancellation;
  Interrupt::Handler handler(session.environment().interrupt, [&cancellation] { cancellation.Cancel(); });
  WatchPrinter printer(&session);
  const absl::Status status = (*client)->Watch(
      request, &cancellation, [&printer](const v1::WatchResponse& response) { return printer.Print(response); });
  if (cancellation.cancelled()) return WithExitCode(absl::CancelledError("interrupted"), kExitInterrupted);
  return printer.status().ok() ? status : printer.status();
}

}  // namespace greenring::greenctl
