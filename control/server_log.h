// The server's own log, as opposed to its pools': what has happened, and who has changed what. Lines of text, or of
// JSON.
//
//   ServerLog log([](const std::string& line) { fprintf(stderr, "%s\n", line.c_str()); }, ServerLog::Format::kJson);
//   log.Say("ready");
//   log.Write(ServerLog::Severity::kError, "pools/web: cannot be started", {{"event", "pool_start_failed"}, ...});
//
// Of text, "greenring: ready"; what has several lines goes on in lines that begin with spaces. Thread-safe if `write`
// is; blocks as long as that does.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace greenring::control {

class ServerLog {
 public:
  enum class Format { kText, kJson };
  enum class Severity { kInfo, kWarning, kError };
  // Names in lower case, and values. What is empty is left out.
  using Fields = std::vector<std::pair<const char*, std::string>>;

  // `write` gets each line without its end.
  ServerLog(std::function<void(const std::string&)> write, Format format) : write_(std::move(write)), format_(format) {}

  // `text` stands for the whole in the format of text, `fields` beside the time and the severity in that of JSON.
  void Write(Severity severity, const std::string& text, const Fields& fields) const;

  // The text is the whole.
  void Say(const std::string& text, Severity severity = Severity::kInfo) const {
    Write(severity, text, {{"message", text}});
  }

 private:
  const std::function<void(const std::string&)> write_;
  const Format format_;
};

}  // namespace greenring::control
