// The table of commands: their words, their help, and the functions that run them.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace greenring::greenctl {

class Session;

// Flags that a command has beside those of every command.
enum CommandFlag : unsigned {
  kFlagFile = 1 << 0,
  kFlagDryRun = 1 << 1,
  kFlagWait = 1 << 2,
  kFlagCanary = 1 << 3,
  kFlagAll = 1 << 4,
  kFlagAge = 1 << 5,
  kFlagFollow = 1 << 6,
  kFlagInterval = 1 << 7,
  kFlagCount = 1 << 8,
  kFlagReason = 1 << 9,
};

struct Command {
  const char* name;
  const char* alias;  // or ""
  const char* group;  // of the help text; "": in none
  const char* usage;  // its arguments
  const char* help;   // one line
  const char* details;
  int arguments_min;
  int arguments_max;  // -1: any number
  unsigned flags;
  absl::Status (*run)(Session& session);
};

// In the order of the help text.
const std::vector<Command>& Commands();

// By its name or its alias; null when there is none.
const Command* FindCommand(absl::string_view name);

absl::Status Get(Session& session);
absl::Status Describe(Session& session);
absl::Status Ps(Session& session);
absl::Status ShowStack(Session& session);
absl::Status Watch(Session& session);
absl::Status Events(Session& session);

absl::Status Apply(Session& session);
absl::Status Set(Session& session);
absl::Status Scale(Session& session);
absl::Status SetEngine(Session& session);
absl::Status Delete(Session& session);

absl::Status Reload(Session& session);
absl::Status Drain(Session& session);
absl::Status Resume(Session& session);
absl::Status Restart(Session& session);
absl::Status Cancel(Session& session);

absl::Status ValidateFiles(Session& session);
absl::Status Completion(Session& session);
absl::Status Complete(Session& session);
absl::Status Version(Session& session);
absl::Status Help(Session& session);

}  // namespace greenring::greenctl
