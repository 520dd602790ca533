#include "control/event_printer.h"

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace greenring::control {
namespace {

const char* Words(v1::Event::Kind kind) {
  switch (kind) {
    case v1::Event::POOL_CREATED:
      return "created";
    case v1::Event::POOL_DELETED:
      return "deleted";
    case v1::Event::POOL_READY:
      return "ready";
    case v1::Event::POOL_START_FAILED:
      return "cannot be started";
    case v1::Event::POOL_DRAINED:
      return "drained";
    case v1::Event::WORKER_STARTED:
      return "started";
    case v1::Event::WORKER_READY:
      return "ready";
    case v1::Event::WORKER_DRAINING:
      return "drains";
    case v1::Event::WORKER_ENDED:
      return "ended";
    case v1::Event::WORKER_DIED:
      return "died";
    case v1::Event::WORKER_START_FAILED:
      return "could not be started";
    case v1::Event::WORKER_UNFIT:
      return "asks to be replaced";
    case v1::Event::OPERATION_STARTED:
      return "started";
    case v1::Event::OPERATION_DONE:
      return "done";
    case v1::Event::OPERATION_FAILED:
      return "failed";
    case v1::Event::CANARY_ROLLED_BACK:
      return "the canary was rolled back";
    case v1::Event::REQUEST_CANCELLED:
      return "cancelled";
    default:
      return "";  // its message says it all
  }
}

ServerLog::Severity SeverityOf(const v1::Event& event) {
  switch (event.severity()) {
    case v1::Event::ERROR:
      return ServerLog::Severity::kError;
    case v1::Event::WARNING:
      return ServerLog::Severity::kWarning;
    default:
      return ServerLog::Severity::kInfo;
  }
}

}  // namespace

void EventPrinter::OnEvent(const v1::Event& event) {
  std::string line;
  std::string message = event.message();
  // A worker has written its traceback to its stderr, which is the master's, too: what stands around it is enough.
  const size_t end = message.rfind('\n');
  const size_t begin = message.find("Traceback (most recent call last)");
  if (begin != std::string::npos && end != std::string::npos && begin < end) message.erase(begin, end + 1 - begin);
  for (const std::string& part : {event.resource(), std::string(Words(event.kind())), message}) {
    if (!part.empty()) absl::StrAppend(&line, line.empty() ? "" : ": ", part);
  }
  if (!event.caller().empty()) absl::StrAppend(&line, " (", event.caller(), ")");
  log_->Write(SeverityOf(event), line,
              {{"event", absl::AsciiStrToLower(v1::Event::Kind_Name(event.kind()))},
               {"resource", event.resource()},
               {"caller", event.caller()},
               {"message", message}});
}

}  // namespace greenring::control
