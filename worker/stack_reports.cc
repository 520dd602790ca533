#include "worker/stack_reports.h"

#include "absl/strings/str_cat.h"

namespace greenring::worker {

void StackReports::Write() {
  overflows_reported_ = scheduler_->stats().overflows;
  const green::StackReport report = scheduler_->ReportStacks();
  error_log_->Message(absl::StrCat("stacks: deepest use ", report.deepest_bytes / 1024, " KiB of ",
                                   report.size_bytes / 1024, " KiB, ", overflows_reported_,
                                   " overflows; recommended --stack_size=", report.recommended_bytes / 1024, "KiB"));
}

}  // namespace greenring::worker
