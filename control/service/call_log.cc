#include "control/service/call_log.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"

namespace greenring::control {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

std::string ToJson(const Fields& fields) {
  google::protobuf::Struct object;
  (*object.mutable_fields())["time"].set_string_value(absl::FormatTime(absl::Now(), absl::UTCTimeZone()));
  for (const auto& [name, value] : fields) {
    if (!value.empty()) (*object.mutable_fields())[name].set_string_value(value);
  }
  std::string line;
  static_cast<void>(google::protobuf::util::MessageToJsonString(object, &line));  // strings are always written
  return line;
}

// What comes from outside keeps to its line.
std::string OneLine(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = ' ';
  }
  return text;
}

}  // namespace

void LineCallLog::OnChange(const Change& change) {
  const std::string code = absl::StatusCodeToString(change.outcome.code());
  const std::string message(change.outcome.message());
  if (format_ == Format::kJson) {
    write_(ToJson({{"severity", change.outcome.ok() ? "info" : "warning"},
                   {"event", "api_call"},
                   {"method", change.method},
                   {"target", change.target},
                   {"caller", change.caller},
                   {"code", code},
                   {"operation", change.operation},
                   {"message", message}}));
    return;
  }
  std::string line = absl::StrCat("api: ", change.caller, ": ", change.method, " ", change.target, ": ", code);
  if (!change.operation.empty()) absl::StrAppend(&line, ", ", change.operation);
  if (!message.empty()) absl::StrAppend(&line, ": ", message);
  write_(OneLine(std::move(line)));
}

void LineCallLog::OnWarning(const std::string& message) {
  if (format_ == Format::kJson) {
    write_(ToJson({{"severity", "warning"}, {"event", "api"}, {"message", message}}));
  } else {
    write_(OneLine(absl::StrCat("api: ", message)));
  }
}

}  // namespace greenring::control
