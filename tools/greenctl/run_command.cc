#include "tools/greenctl/run_command.h"

#include <algorithm>

#include "absl/strings/strip.h"
#include "control/config/field_violations.h"
#include "tools/greenctl/command_line.h"
#include "tools/greenctl/commands.h"
#include "tools/greenctl/exit_code.h"
#include "tools/greenctl/human.h"
#include "tools/greenctl/session.h"

namespace greenring::greenctl {
namespace {

// "greenctl: what is wrong", each violation in a line of its own, then what to do.
void PrintError(const absl::Status& status, const Options& options, std::ostream& err) {
  const std::vector<control::FieldViolation> violations = control::FieldViolationsOf(status);
  if (violations.empty()) {
    err << "greenctl: " << Printable(std::string(status.message()), /*lines=*/true) << '\n';
  } else {
    err << "greenctl: this is not possible:\n";
    for (const control::FieldViolation& violation : violations) {
      // Of a request about one pool: "pool.workers" is what was typed as "workers".
      err << "  " << Printable(absl::StripPrefix(violation.field, "pool.")) << ": " << Printable(violation.description)
          << '\n';
    }
  }
  std::string hint = HintOf(status);
  if (hint.empty() && status.code() == absl::StatusCode::kNotFound) {
    hint = "greenctl get pools, workers, operations and ps list what is there";
  }
  if (hint.empty() && ExitCodeOf(status) == kExitTimedOut) {
    hint = options.timeout == absl::InfiniteDuration()
               ? "the server is busy, or stopped; try again, or look at its log"
               : "--timeout is how long to wait; what was begun goes on, see: greenctl get operations";
  }
  if (hint.empty() && status.code() == absl::StatusCode::kAborted && options.command == "apply") {
    hint = "the pool has changed since the file was written: take its etag out to overwrite it, or get it again";
  }
  if (hint.empty() && status.code() == absl::StatusCode::kUnimplemented) {
    hint = "the server is of another version; greenctl version shows both";
  }
  if (!hint.empty()) err << "  " << hint << '\n';
}

}  // namespace

int RunCommand(const std::vector<std::string>& arguments, Environment* environment) {
  absl::StatusOr<Options> options = ParseCommandLine(arguments, *environment);
  if (!options.ok()) {
    PrintError(options.status(), Options(), *environment->err);
    return ExitCodeOf(options.status());
  }
  Session session(*options, environment);
  const absl::Status status = FindCommand(options->command)->run(session);
  environment->out->flush();
  const ExitCode code = ExitCodeOf(status);
  if (code == kExitInterrupted) return code;  // what there was to say has been said
  if (!status.ok()) PrintError(status, *options, *environment->err);
  return code;
}

}  // namespace greenring::greenctl
