// What signals and a configuration file ask of all pools.
#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "control/config/field_violations.h"
#include "control/config/pool_config.h"
#include "control/supervisor.h"

namespace greenring::control {

void Supervisor::ReloadAll(const Caller& caller) {
  for (const auto& [name, runner] : runners_) {
    if (runner->desired().drained()) continue;
    if (const auto operation = runner->Reload(caller); !operation.ok()) {
      Warn(name, absl::StrCat("not reloaded: ", operation.status().message()));
    }
  }
}

void Supervisor::Reload(const v1::Configuration& file, const Caller& caller) {
  if (stopping_) return;
  const DesiredState wanted = CombineWithFile(file.pools(), state_.ToKeep([this] {
    std::vector<v1::Pool> pools;
    for (const auto& [name, runner] : runners_) pools.push_back(runner->durable());
    return pools;
  }()));
  for (const std::string& warning : wanted.warnings) Warn("", warning);
  const auto warn_of = [this](const std::string& name, const absl::Status& status) {
    if (!status.ok()) Warn(name, absl::StrCat("not as in the configuration: ", status.message()));
  };
  // First those that go: others may want their addresses.
  for (const auto& [name, runner] : runners_) {
    if (!wanted.pools.contains(name)) warn_of(name, Delete(runner.get(), /*touched=*/false, caller).status());
  }
  for (const auto& [name, pool] : wanted.pools) {
    const auto found = runners_.find(name);
    if (found == runners_.end()) {
      warn_of(name, Create(pool, /*touched=*/false, caller).status());
      continue;
    }
    PoolRunner* const runner = found->second.get();
    const bool touched = state_.touched.contains(name);
    const ChangeKind kind = touched ? ChangeKind::kNone : KindOfChange(runner->desired(), pool);
    if (kind != ChangeKind::kNone) warn_of(name, Change(runner, pool, nullptr, /*touched=*/false, caller).status());
    // A START change brings new workers by itself.
    if (kind == ChangeKind::kStart || runner->desired().drained()) continue;
    warn_of(name, runner->Reload(caller).status());
  }
}

void Supervisor::ScaleAll(int by, const Caller& caller) {
  for (const auto& [name, runner] : runners_) {
    v1::Pool to = runner->desired();
    to.set_workers(std::max(1, to.workers() + by));
    if (to.workers() == runner->desired().workers()) continue;
    absl::Status status = ToStatus(Validate(to));
    if (status.ok()) status = Change(runner.get(), std::move(to), nullptr, /*touched=*/true, caller).status();
    if (!status.ok()) Warn(name, absl::StrCat("its number of workers stays: ", status.message()));
  }
}

}  // namespace greenring::control
