// help and version.
#include "absl/strings/str_cat.h"
#include "tools/greenctl/command_line.h"
#include "tools/greenctl/commands.h"
#include "tools/greenctl/exit_code.h"
#include "tools/greenctl/human.h"
#include "tools/greenctl/session.h"

namespace greenring::greenctl {

absl::Status Help(Session& session) {
  const absl::StatusOr<std::string> text = HelpText(session.arguments().empty() ? "" : session.arguments()[0]);
  if (text.ok()) session.out() << *text;
  return text.status();
}

}  // namespace greenring::greenctl
