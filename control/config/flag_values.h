// How the values of flags are read: by the type of the field, and those that are more than a field's value. Each error
// says what is possible.
//
// Thread-safe; never blocks.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "control/config/flag_table.h"

namespace greenring::control {

absl::Status ParseEnvironment(const std::string& text, FlagTarget* target);     // "NAME=value"
absl::Status ParseHttp(const std::string& text, FlagTarget* target);            // ":80,unix:/path"
absl::Status ParseUwsgi(const std::string& text, FlagTarget* target);           // the same
absl::Status ParseUwsgiOption(const std::string& text, FlagTarget* target);     // "name=value", "name"
absl::Status ParseRoute(const std::string& text, FlagTarget* target);           // "example.com/api", "/api"
absl::Status ParseListenBacklog(const std::string& text, FlagTarget* target);   // a number
absl::Status ParseWorkers(const std::string& text, FlagTarget* target);         // a number or "auto"
absl::Status ParseCpuAffinity(const std::string& text, FlagTarget* target);     // "none", "spread", "0,2,4-5"
absl::Status ParseRequestTimeout(const std::string& text, FlagTarget* target);  // "30s", "/export=5m"
absl::Status ParseLogFormat(const std::string& text, FlagTarget* target);       // "text", "json"

}  // namespace greenring::control
