#include "tools/greenctl/progress.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "control/config/quantities.h"
#include "tools/greenctl/exit_code.h"
#include "tools/greenctl/human.h"
#include "tools/greenctl/resource_name.h"

namespace greenring::greenctl {
namespace {

absl::Status FailureOf(const v1::Operation& operation) {
  return WithHint(WithExitCode(absl::AbortedError(absl::StrCat(operation.verb(), " ", ShortName(operation.target()),
                                                               " failed: ", operation.error().message())),
                               kExitFailed),
                  absl::StrCat("greenctl events ", ShortName(PoolOf(operation.target())), " shows what happened"));
}

void SayThatItGoesOn(Session& session, const v1::Operation& operation) {
  session.err() << "greenctl: not waiting any more; " << operation.verb() << " " << ShortName(operation.target())
                << " goes on\n  greenctl watch " << operation.name() << "   follows it\n  greenctl cancel "
                << operation.name() << "  undoes it, where that is possible\n";
}

absl::Status PrintResult(Session& session, const v1::Operation& operation, const std::string& done_words) {
  if (session.structured()) return session.PrintDocument(operation);
  if (session.options().format == OutputFormat::kName) {
    session.Say(operation.name());
    return absl::OkStatus();
  }
  std::string words = done_words;
  if (operation.generation() > 0) absl::StrAppend(&words, ", generation ", operation.generation());
  if (operation.has_end_time() && operation.has_create_time()) {
    const absl::Duration took = control::FromProto(operation.end_time()) - control::FromProto(operation.create_time());
    if (took >= absl::Milliseconds(1)) absl::StrAppend(&words, ", in ", HumanDuration(took));
  }
  session.Say(words);
  return absl::OkStatus();
}

}  // namespace

std::string DescribeProgress(const v1::Operation& operation) {
  std::string text = absl::StrCat(operation.verb(), " ", ShortName(operation.target()));
  if (!operation.stage().empty()) absl::StrAppend(&text, ": ", operation.stage());
  std::vector<std::string> counts;
  if (operation.workers_total() > 0) {
    counts.push_back(absl::StrCat("workers ", operation.workers_done(), "/", operation.workers_total()));
  }
  if (operation.cores_total() > 0) {
    counts.push_back(absl::StrCat("cores ", operation.cores_done(), "/", operation.cores_total()));
  }
  if (!counts.empty()) absl::StrAppend(&text, " (", absl::StrJoin(counts, ", "), ")");
  return Printable(text);
}

ProgressDisplay::ProgressDisplay(Session* session) : session_(session) {}

ProgressDisplay::~ProgressDisplay() {
  if (session_->environment().err_is_terminal && !shown_.empty()) session_->err() << "\r\x1b[K" << std::flush;
}

void ProgressDisplay::Show(const v1::Operation& operation) {
  const std::string text = DescribeProgress(operation);
  if (session_->options().quiet || text == shown_) return;
  shown_ = text;
  const Environment& environment = session_->environment();
  if (!environment.err_is_terminal) {
    session_->err() << text << std::endl;
    return;
  }
  // One column less than there are: a full line would wrap.
  session_->err() << "\r\x1b[K" << (environment.columns > 1 ? Truncate(text, environment.columns - 1) : text)
                  << std::flush;
}

absl::Status FinishOperation(Session& session, v1::Operation operation, const std::string& done_words) {
  if (!operation.done() && !session.options().wait) {
    if (session.structured()) return session.PrintDocument(operation);
    const bool name_only = session.options().format == OutputFormat::kName;
    session.Say(name_only ? operation.name()
                          : absl::StrCat(operation.name(), ": ", DescribeProgress(operation), "; greenctl watch ",
                                         operation.name(), " follows it"));
    return absl::OkStatus();
  }
  if (!operation.done()) {
    absl::StatusOr<Client*> client = session.client();
    if (!client.ok()) return client.status();
    Cancellation cancellation;
    Interrupt::Handler handler(session.environment().interrupt, [&cancellation] { cancellation.Cancel(); });
    absl::Status status;
    {
      ProgressDisplay progress(&session);
      progress.Show(operation);
      status = (*client)->WatchOperation(operation.name(), &cancellation, [&](const v1::Operation& step) {
        operation = step;
        if (!step.done()) progress.Show(step);
        return !step.done();
      });
    }
    if (cancellation.cancelled()) {
      SayThatItGoesOn(session, operation);
      return WithExitCode(absl::CancelledError("interrupted"), kExitInterrupted);
    }
    if (!status.ok()) return status;
    if (!operation.done()) {
      return WithExitCode(absl::UnavailableError("the server has ended before the operation was done"),
                          kExitUnreachable);
    }
  }
  if (operation.has_error()) {
    if (session.structured()) {
      if (absl::Status status = session.PrintDocument(operation); !status.ok()) return status;
    }
    return FailureOf(operation);
  }
  return PrintResult(session, operation, done_words);
}

}  // namespace greenring::greenctl
