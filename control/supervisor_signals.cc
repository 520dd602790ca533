// What signals and a configuration file ask of all pools.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

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
  std::vector<PoolRunner*> same_workers;  // a START change brings new ones by itself
  std::map<std::string, absl::Status> refused;
  for (const auto& [name, pool] : wanted.pools) {
    refused[name] = absl::OkStatus();
    const auto found = runners_.find(name);
    if (found == runners_.end() || found->second->desired().drained()) continue;
    const bool starts_anew =
        !state_.touched.contains(name) && KindOfChange(found->second->desired(), pool) == ChangeKind::kStart;
    if (!starts_anew) same_workers.push_back(found->second.get());
  }
  // Where one wants what another gives up, a route perhaps, that one has to change first: whoever is refused has
  // another try after others have changed.
  for (size_t before = refused.size() + 1; !refused.empty() && refused.size() < before;) {
    before = refused.size();
    for (auto& [name, status] : refused) status = AsInFile(wanted.pools.at(name), caller);
    std::erase_if(refused, [](const auto& entry) { return entry.second.ok(); });
  }
  for (const auto& [name, status] : refused) warn_of(name, status);
  for (PoolRunner* runner : same_workers) warn_of(runner->name(), runner->Reload(caller).status());
}

absl::Status Supervisor::AsInFile(const v1::Pool& pool, const Caller& caller) {
  const auto found = runners_.find(pool.name());
  if (found == runners_.end()) return Create(pool, /*touched=*/false, caller).status();
  PoolRunner* const runner = found->second.get();
  const bool touched = state_.touched.contains(pool.name());
  if (touched || KindOfChange(runner->desired(), pool) == ChangeKind::kNone) return absl::OkStatus();
  return Change(runner, pool, nullptr, /*touched=*/false, caller).status();
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
