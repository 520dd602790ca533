// apply, set, scale, engine: changes of pools' configuration.
#include <google/protobuf/descriptor.h>

#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "control/config/config_file.h"
#include "control/config/nearest.h"
#include "control/config/pool_config.h"
#include "tools/greenctl/commands.h"
#include "tools/greenctl/exit_code.h"
#include "tools/greenctl/human.h"
#include "tools/greenctl/pool_assignments.h"
#include "tools/greenctl/progress.h"
#include "tools/greenctl/resource_name.h"
#include "tools/greenctl/session.h"

namespace greenring::greenctl {
namespace {

// Violations of "pool.x" are about the pool that the command line names.
absl::Status Update(Session& session, Client& client, v1::UpdatePoolRequest request, int64_t generation_before,
                    bool exists) {
  const Options& options = session.options();
  request.set_validate_only(options.dry_run);
  if (options.canary.percent() > 0) *request.mutable_canary() = options.canary;
  const std::string name = ShortName(request.pool().name());
  absl::StatusOr<v1::Operation> operation = client.UpdatePool(request);
  if (!operation.ok()) return operation.status();
  if (options.dry_run) {
    if (session.structured()) return session.PrintDocument(*operation);
    session.Say(absl::StrCat(name, " would be ", exists ? "changed" : "created", " (dry run)"));
    return absl::OkStatus();
  }
  const bool same = exists && operation->done() && !operation->has_error() &&
                    (operation->generation() == 0 || operation->generation() == generation_before);
  if (same && !session.structured()) {
    session.Say(absl::StrCat(name, " unchanged"));
    return absl::OkStatus();
  }
  return FinishOperation(session, *std::move(operation), absl::StrCat(name, exists ? " changed" : " created"));
}

absl::Status CheckCanary(const v1::Canary& canary) {
  const bool told = canary.has_duration() || canary.error_rate_rise_percent() != 0 || canary.p99_rise_percent() != 0 ||
                    canary.requests_min() != 0;
  if (told && canary.percent() == 0) return UsageError("a canary needs its share of the cores: --canary 10%");
  return absl::OkStatus();
}

absl::Status Change(Session& session, const std::string& pool_text, const std::vector<std::string>& assignments) {
  if (absl::Status status = CheckCanary(session.options().canary); !status.ok()) return status;
  const absl::StatusOr<std::string> name = PoolName(pool_text);
  if (!name.ok()) return name.status();
  // What makes no sense for any pool is said without asking a server.
  if (absl::Status status = ChangeOf(v1::Pool(), assignments).status(); !status.ok()) return status;
  absl::StatusOr<Client*> client = session.client();
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::Pool> current = (*client)->GetPool(*name);
  if (!current.ok()) return current.status();
  absl::StatusOr<v1::UpdatePoolRequest> request = ChangeOf(*current, assignments);
  if (!request.ok()) return request.status();
  return Update(session, **client, *std::move(request), current->generation(), /*exists=*/true);
}

// The configuration of -f; "-" is read from the standard input. A file's errors name it, line and field.
absl::StatusOr<v1::Configuration> Load(Session& session) {
  const std::string& path = session.options().file;
  if (path.empty()) return UsageError("apply needs a file: greenctl apply -f pools.yaml, or -f - for stdin");
  if (path != "-") return control::LoadConfiguration(path);
  const std::string text(std::istreambuf_iterator<char>(*session.environment().in), {});
  v1::Configuration configuration;
  if (absl::Status status = control::ParseYaml(text, "stdin", &configuration); !status.ok()) return status;
  return configuration;
}

absl::Status ApplyOne(Session& session, Client& client, v1::Pool pool) {
  const absl::StatusOr<std::string> name = PoolName(pool.name());
  if (!name.ok()) return name.status();
  pool.set_name(*name);
  const absl::StatusOr<v1::Pool> current = client.GetPool(*name);
  if (!current.ok() && !absl::IsNotFound(current.status())) return current.status();
  v1::UpdatePoolRequest request;
  *request.mutable_pool() = std::move(pool);
  request.mutable_update_mask()->add_paths(std::string("*"));
  request.set_allow_missing(true);
  return Update(session, client, std::move(request), current.ok() ? current->generation() : 0, current.ok());
}

// A file of a whole server's has more than pools: who applies it is told what the API does not change.
void WarnOfRest(Session& session, const v1::Configuration& configuration) {
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  configuration.GetReflection()->ListFields(configuration, &fields);
  std::vector<std::string> rest;
  for (const google::protobuf::FieldDescriptor* field : fields) {
    if (field->number() != v1::Configuration::kPoolsFieldNumber) rest.push_back(field->name());
  }
  if (rest.empty() || session.options().quiet) return;
  session.err() << "greenctl: warning: " << session.options().file
                << ": not applied, as only pools can be: " << absl::StrJoin(rest, ", ")
                << "; the server reads the rest of its own file when it starts\n";
}

}  // namespace

absl::Status Apply(Session& session) {
  if (absl::Status status = CheckCanary(session.options().canary); !status.ok()) return status;
  const absl::StatusOr<v1::Configuration> configuration = Load(session);
  if (!configuration.ok()) {
    return ExitCodeOf(configuration.status()) == kExitUsage ? configuration.status()
                                                            : WithExitCode(configuration.status(), kExitInvalid);
  }
  if (configuration->pools().empty()) {
    return WithExitCode(absl::InvalidArgumentError(absl::StrCat(session.options().file, ": there are no pools in it")),
                        kExitInvalid);
  }
  absl::StatusOr<Client*> client = session.client();
  if (!client.ok()) return client.status();
  WarnOfRest(session, *configuration);
  for (const v1::Pool& pool : configuration->pools()) {
    if (absl::Status status = ApplyOne(session, **client, pool); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Set(Session& session) {
  return Change(session, session.arguments()[0], {session.arguments().begin() + 1, session.arguments().end()});
}

absl::Status Scale(Session& session) {
  int workers;
  const std::string& text = session.arguments()[1];
  if (!absl::SimpleAtoi(text, &workers) || workers < 1) {
    return WithHint(UsageError(absl::StrCat("\"", Printable(text), "\" is no number of workers, from 1 on")),
                    "greenctl drain POOL takes all workers of a pool away");
  }
  return Change(session, session.arguments()[0], {absl::StrCat("workers=", workers)});
}

absl::Status SetEngine(Session& session) {
  const std::string name = absl::AsciiStrToUpper(session.arguments()[1]);
  v1::Engine engine;
  if (!v1::Engine_Parse(name, &engine) || engine == v1::ENGINE_UNSPECIFIED) {
    return UsageError(absl::StrCat("there is no engine \"", Printable(session.arguments()[1]),
                                   "\": ucontext, fcontext, thread, greenlet or gevent"));
  }
  return Change(session, session.arguments()[0], {absl::StrCat("engine=", name)});
}

absl::Status ValidateFiles(Session& session) {
  absl::Status first;
  for (const std::string& path : session.arguments()) {
    const absl::StatusOr<v1::Configuration> configuration = control::LoadConfiguration(path);
    if (configuration.ok()) {
      session.Say(absl::StrCat(path, ": valid, ", configuration->pools_size(),
                               configuration->pools_size() == 1 ? " pool" : " pools"));
    } else if (first.ok()) {
      first = WithExitCode(configuration.status(), kExitInvalid);
    } else {
      session.err() << "greenctl: " << Printable(std::string(configuration.status().message()), /*lines=*/true) << '\n';
    }
  }
  return first;
}

}  // namespace greenring::greenctl
