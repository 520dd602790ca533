// help and version.
#include "absl/strings/str_cat.h"
#include "base/version.h"
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

absl::Status Version(Session& session) {
  if (!session.structured()) session.out() << "greenctl " << kVersion << '\n';
  absl::StatusOr<Client*> client = session.client();
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::Server> server = (*client)->GetServer();
  if (!server.ok()) {
    session.out() << "server: " << Printable(std::string(server.status().message())) << '\n';
    return absl::OkStatus();
  }
  if (session.structured()) return session.PrintDocument(*server);
  session.out() << "server " << Printable(server->version()) << ", pid " << server->pid() << ", Python "
                << Printable(server->python_version()) << ", at " << (*client)->address() << '\n';
  return absl::OkStatus();
}

}  // namespace greenring::greenctl
