// What the log says of the API: one line for each call that changes something, and for each connection refused.
//
//   LineCallLog log(&server_log);
//
// On the reactor's thread only.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "control/server_log.h"

namespace greenring::control {

class CallLog {
 public:
  struct Change {
    std::string method;     // "UpdatePool"
    std::string target;     // a resource's name, as the caller gave it
    std::string caller;     // Caller::name
    std::string operation;  // that it began; empty: none
    absl::Status outcome;
  };

  virtual ~CallLog() = default;
  virtual void OnChange(const Change& change) = 0;
  // In words: who was refused and why, or what the API cannot do now.
  virtual void OnWarning(const std::string& message) = 0;
};

// As lines of the server's log; as JSON with each of the fields.
class LineCallLog final : public CallLog {
 public:
  // `log` must outlive it.
  explicit LineCallLog(const ServerLog* log) : log_(log) {}

  void OnChange(const Change& change) override;
  void OnWarning(const std::string& message) override;

 private:
  const ServerLog* const log_;
};

}  // namespace greenring::control
