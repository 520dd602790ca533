#include "control/server_log.h"

#include <time.h>

#include "base/clock.h"
#include "base/json_text.h"

namespace greenring::control {
namespace {

const char* Name(ServerLog::Severity severity) {
  switch (severity) {
    case ServerLog::Severity::kWarning:
      return "warning";
    case ServerLog::Severity::kError:
      return "error";
    default:
      return "info";
  }
}

std::string ToJson(ServerLog::Severity severity, const ServerLog::Fields& fields) {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  std::string object = "{";
  AppendJsonField("time", JsonTime(now.tv_sec * kNanosecondsPerSecond + now.tv_nsec), &object);
  AppendJsonField("severity", Name(severity), &object);
  for (const auto& [name, value] : fields) {
    if (!value.empty()) AppendJsonField(name, value, &object);
  }
  return object + "}";
}

// Further lines, a traceback's, are set in: what comes from outside cannot be taken for another line of the server's.
std::string ToText(const std::string& text) {
  std::string line = "greenring: ";
  for (const char c : text) {
    const bool is_control = static_cast<unsigned char>(c) < ' ' || c == '\x7f';
    if (c == '\n') {
      line += "\n    ";
    } else {
      line += is_control && c != '\t' ? ' ' : c;
    }
  }
  return line;
}

}  // namespace

void ServerLog::Write(Severity severity, const std::string& text, const Fields& fields) const {
  write_(format_ == Format::kJson ? ToJson(severity, fields) : ToText(text));
}

}  // namespace greenring::control
