// reload, drain, resume, restart, delete, cancel: what is done to pools, workers and requests as they are.
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tools/greenctl/commands.h"
#include "tools/greenctl/exit_code.h"
#include "tools/greenctl/progress.h"
#include "tools/greenctl/resource_name.h"
#include "tools/greenctl/session.h"

namespace greenring::greenctl {
namespace {

using Begin = absl::StatusOr<v1::Operation> (Client::*)(const std::string& name);
using Resolve = absl::StatusOr<std::string> (*)(absl::string_view text);

// One after another; the first that fails ends it. Every name is looked at before anything is begun.
absl::Status ForEach(Session& session, Resolve resolve, Begin begin, const char* done) {
  std::vector<std::string> names;
  for (const std::string& text : session.arguments()) {
    absl::StatusOr<std::string> name = resolve(text);
    if (!name.ok()) return name.status();
    names.push_back(*std::move(name));
  }
  absl::StatusOr<Client*> client = session.client();
  if (!client.ok()) return client.status();
  for (const std::string& name : names) {
    absl::StatusOr<v1::Operation> operation = ((*client)->*begin)(name);
    if (!operation.ok()) return operation.status();
    const absl::Status status =
        FinishOperation(session, *std::move(operation), absl::StrCat(ShortName(name), " ", done));
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status CancelOne(Session& session, Client& client, const std::string& text) {
  const absl::StatusOr<ResourceKind> kind = KindOf(text);
  if (!kind.ok()) return kind.status();
  if (*kind == ResourceKind::kOperation) {
    const absl::StatusOr<v1::Operation> operation = client.CancelOperation(text);
    if (!operation.ok()) return operation.status();
    session.Say(absl::StrCat(text, " is undone; greenctl watch ", text, " follows it"));
    return absl::OkStatus();
  }
  const absl::StatusOr<std::string> name = RequestName(text);
  if (!name.ok()) return name.status();
  if (const absl::Status status = client.CancelRequest(*name, session.options().reason); !status.ok()) return status;
  session.Say(absl::StrCat(ShortName(*name), " cancelled"));
  return absl::OkStatus();
}

}  // namespace

absl::Status Reload(Session& session) { return ForEach(session, PoolName, &Client::ReloadPool, "reloaded"); }
absl::Status Drain(Session& session) { return ForEach(session, PoolName, &Client::DrainPool, "drained"); }
absl::Status Resume(Session& session) { return ForEach(session, PoolName, &Client::ResumePool, "resumed"); }
absl::Status Delete(Session& session) { return ForEach(session, PoolName, &Client::DeletePool, "deleted"); }
absl::Status Restart(Session& session) { return ForEach(session, WorkerName, &Client::RestartWorker, "replaced"); }

absl::Status Cancel(Session& session) {
  absl::StatusOr<Client*> client = session.client();
  if (!client.ok()) return client.status();
  for (const std::string& text : session.arguments()) {
    if (const absl::Status status = CancelOne(session, **client, text); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace greenring::greenctl
