#include "control/service/call_log.h"

#include "absl/strings/str_cat.h"

namespace greenring::control {

void LineCallLog::OnChange(const Change& change) {
  const std::string code = absl::StatusCodeToString(change.outcome.code());
  const std::string message(change.outcome.message());
  std::string text = absl::StrCat("api: ", change.caller, ": ", change.method, " ", change.target, ": ", code);
  if (!change.operation.empty()) absl::StrAppend(&text, ", ", change.operation);
  if (!message.empty()) absl::StrAppend(&text, ": ", message);
  log_->Write(change.outcome.ok() ? ServerLog::Severity::kInfo : ServerLog::Severity::kWarning, text,
              {{"event", "api_call"},
               {"method", change.method},
               {"target", change.target},
               {"caller", change.caller},
               {"code", code},
               {"operation", change.operation},
               {"message", message}});
}

void LineCallLog::OnWarning(const std::string& message) {
  log_->Write(ServerLog::Severity::kWarning, absl::StrCat("api: ", message), {{"event", "api"}, {"message", message}});
}

}  // namespace greenring::control
