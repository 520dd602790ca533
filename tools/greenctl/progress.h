// Changes that take a while: their progress on the screen, and their end.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "greenring/control/v1/operation_service.pb.h"
#include "tools/greenctl/environment.h"
#include "tools/greenctl/session.h"

namespace greenring::greenctl {

namespace v1 = ::greenring::control::v1;

// "reload web: starting workers (workers 2/4, cores 300/512)"
std::string DescribeProgress(const v1::Operation& operation);

// On a terminal one line that is written over, else a line for each change. Not when --quiet.
class ProgressDisplay {
 public:
  explicit ProgressDisplay(Session* session);
  ~ProgressDisplay();  // leaves the terminal at the beginning of an empty line
  ProgressDisplay(const ProgressDisplay&) = delete;
  ProgressDisplay& operator=(const ProgressDisplay&) = delete;

  void Show(const v1::Operation& operation);

 private:
  Session* const session_;
  std::string shown_;
};

// Waits, with progress, until `operation` is done, and says how it ended: `done_words` ("web reloaded"), or the
// document. Without --wait it says at once how to follow it. An operation that has failed is kExitFailed; after Ctrl-C,
// kExitInterrupted, and it goes on.
absl::Status FinishOperation(Session& session, v1::Operation operation, const std::string& done_words);

}  // namespace greenring::greenctl
