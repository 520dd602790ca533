// What the log says of the API: one line for each call that changes something, and for each connection refused.
//
//   LineCallLog log([](const std::string& line) { master_log->Write(line); }, LineCallLog::Format::kText);
//
// On the reactor's thread only.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"

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

// As lines of text, or of JSON (with severity, event and each of the fields).
class LineCallLog final : public CallLog {
 public:
  enum class Format { kText, kJson };

  // `write` gets each line without its end, and adds a time to one of text.
  LineCallLog(std::function<void(const std::string&)> write, Format format)
      : write_(std::move(write)), format_(format) {}

  void OnChange(const Change& change) override;
  void OnWarning(const std::string& message) override;

 private:
  const std::function<void(const std::string&)> write_;
  const Format format_;
};

}  // namespace greenring::control
