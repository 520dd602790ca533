#include "control/supervisor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "control/config/field_violations.h"
#include "control/config/pool_config.h"

namespace greenring::control {
namespace {

absl::Status StaleEtag(const std::string& name) {
  return absl::AbortedError(absl::StrCat(name, " has changed since it was read: read it again, and then change it"));
}

}  // namespace

Supervisor::Supervisor(Environment environment, const v1::Server* server, DesiredState state, Host* host)
    : environment_(std::move(environment)),
      server_(server),
      host_(host),
      random_(environment_.seed),
      events_(environment_.timers,
              [this](const v1::Event& event) { Publish([&](Observer* observer) { observer->OnEvent(event); }); }),
      operations_(environment_.timers, &events_,
                  [this](const v1::Operation& operation) {
                    Publish([&](Observer* observer) { observer->OnOperation(operation); });
                  }),
      state_(std::move(state)) {}

Supervisor::~Supervisor() = default;

PoolRunner::Environment Supervisor::RunnerEnvironment() {
  return {.workers = {.worker = {.timers = environment_.timers, .events = &events_, .factory = environment_.factory},
                      .random = &random_,
                      .cpus = environment_.cpus},
          .sockets = environment_.sockets,
          .operations = &operations_};
}

absl::Status Supervisor::Begin() {
  for (const std::string& warning : state_.warnings) Warn("", warning);
  for (const auto& [name, pool] : state_.pools) {
    auto runner = std::make_unique<PoolRunner>(RunnerEnvironment(), pool, static_cast<PoolRunner::Host*>(this));
    if (absl::Status status = MakeInboxes(pool); !status.ok()) return status;
    if (absl::Status status = runner->Bind(); !status.ok()) return status;
    runners_[name] = std::move(runner);
  }
  OnRoutingChanged();
  for (const auto& [name, runner] : runners_) runner->Begin();
  begun_ = true;
  return absl::OkStatus();
}

void Supervisor::Stop() {
  if (std::exchange(stopping_, true)) return;
  events_.Add(v1::Event::SERVER_DRAINING, v1::Event::INFO, "", "the server stops: requests in flight finish");
  for (const auto& [name, runner] : runners_) runner->Stop();
  SweepLater();
}

void Supervisor::OnStopAsked(const Caller& caller) {
  Warn("", absl::StrCat("the server stops: ", caller.name));
  stop_ = environment_.timers->After(0, [this] { Stop(); });
}

void Supervisor::KillAll() {
  for (const auto& [name, runner] : runners_) runner->workers()->KillAll();
}

void Supervisor::DumpAll() {
  for (const auto& [name, runner] : runners_) runner->workers()->DumpAll();
}

bool Supervisor::AllReady() const {
  return std::all_of(runners_.begin(), runners_.end(),
                     [](const auto& entry) { return entry.second->IsReady() || entry.second->desired().drained(); });
}

std::string Supervisor::StartError(bool* configuration) const {
  for (const auto& [name, runner] : runners_) {
    if (runner->workers()->start_error().empty()) continue;
    *configuration = runner->workers()->configuration_is_to_blame();
    return runner->workers()->start_error();
  }
  return "";
}

std::vector<std::string> Supervisor::Addresses() const {
  std::vector<std::string> addresses;
  for (const auto& [name, runner] : runners_) {
    for (std::string& address : runner->Addresses()) {
      const bool shared = std::find(addresses.begin(), addresses.end(), address) != addresses.end();
      if (!shared) addresses.push_back(std::move(address));
    }
  }
  return addresses;
}

// ---- what pools tell ----

void Supervisor::OnDesiredChanged(PoolRunner* runner) {
  if (!state_.touched.contains(runner->name())) return;
  if (const absl::Status status = Save(nullptr); !status.ok()) Warn(runner->name(), std::string(status.message()));
}

void Supervisor::OnPoolChanged(PoolRunner* runner) {
  if (runner->IsGone()) SweepLater();
  if (begun_) host_->OnChanged();
}

// Not now: whoever has just become superfluous may be the one who calls.
void Supervisor::SweepLater() {
  sweep_ = environment_.timers->After(0, [this] {
    Sweep();
    OnRoutingChanged();
    const bool gone =
        std::all_of(runners_.begin(), runners_.end(), [](const auto& entry) { return entry.second->IsGone(); });
    if (stopping_ && gone && !std::exchange(stopped_, true)) host_->OnStopped();
  });
}

void Supervisor::Sweep() {
  for (auto runner = runners_.begin(); runner != runners_.end();) {
    if (!IsDeleted(*runner->second)) {
      ++runner;
      continue;
    }
    const std::string name = runner->first;
    runner = runners_.erase(runner);
    inboxes_.Close(name);
    events_.Add(v1::Event::POOL_DELETED, v1::Event::INFO, name, "its workers are gone");
  }
}

void Supervisor::Warn(const std::string& resource, const std::string& what) {
  events_.Add(v1::Event::POOL_UPDATED, v1::Event::WARNING, resource, what);
}

void Supervisor::Publish(const std::function<void(Observer*)>& tell) {
  const std::vector<Observer*> observers = observers_;
  for (Observer* observer : observers) {
    // One of those before may have removed it.
    if (std::find(observers_.begin(), observers_.end(), observer) != observers_.end()) tell(observer);
  }
}

void Supervisor::RemoveObserver(Observer* observer) { std::erase(observers_, observer); }

// ---- changes ----

absl::StatusOr<PoolRunner*> Supervisor::FindPool(const std::string& name) const {
  const auto found = runners_.find(name);
  if (found != runners_.end() && !IsDeleted(*found->second)) return found->second.get();
  return absl::NotFoundError(absl::StrCat("there is no ", absl::StartsWith(name, "pools/") ? "" : "pool named ", name));
}

// What can still be rolled back must have its place, too.
absl::Status Supervisor::CheckTogether(const v1::Pool& changed) const {
  absl::Status status = CheckBeside(changed, [](const PoolRunner& runner) { return runner.desired(); });
  if (status.ok()) status = CheckBeside(changed, [](const PoolRunner& runner) { return runner.durable(); });
  return status;
}

absl::Status Supervisor::CheckBeside(const v1::Pool& changed,
                                     const std::function<v1::Pool(const PoolRunner&)>& other) const {
  std::vector<v1::Pool> pools;
  for (const auto& [name, runner] : runners_) {
    if (name != changed.name() && !runner->deleting()) pools.push_back(other(*runner));
  }
  const std::string prefix = absl::StrCat("pools[", pools.size(), "].");
  pools.push_back(changed);
  std::vector<FieldViolation> violations = ValidateTogether(pools);
  for (FieldViolation& violation : violations) {
    if (absl::StartsWith(violation.field, prefix)) violation.field.replace(0, prefix.size(), "pool.");
  }
  return ToStatus(violations);
}

absl::Status Supervisor::Save(const v1::Pool* instead) {
  if (environment_.save == nullptr) return absl::OkStatus();
  std::vector<v1::Pool> pools;
  for (const auto& [name, runner] : runners_) {
    if (runner->deleting() || (instead != nullptr && instead->name() == name)) continue;
    pools.push_back(runner->durable());
  }
  if (instead != nullptr) pools.push_back(*instead);
  const absl::Status status = environment_.save(state_.ToKeep(pools));
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat("the change cannot be kept for the next start: ", status.message()));
}

absl::StatusOr<v1::Operation> Supervisor::Create(v1::Pool pool, bool touched, const Caller& caller) {
  if (absl::Status status = ToStatus(Validate(pool), "pool."); !status.ok()) return status;
  if (absl::Status status = CheckTogether(pool); !status.ok()) return status;
  if (absl::Status status = MakeInboxes(pool); !status.ok()) return status;
  const std::string name = pool.name();
  auto runner =
      std::make_unique<PoolRunner>(RunnerEnvironment(), std::move(pool), static_cast<PoolRunner::Host*>(this));
  PoolRunner* const created = runner.get();
  const DesiredState before = state_;
  if (touched) {
    state_.touched.insert(name);
    state_.deleted.erase(name);
    if (absl::Status status = Save(&created->desired()); !status.ok()) {
      state_ = before;
      return status;
    }
  }
  if (absl::Status status = created->Bind(); !status.ok()) {
    state_ = before;
    if (touched) Save(nullptr).IgnoreError();  // what was kept is more than there is; said at the next change
    inboxes_.Close(name);
    return status;
  }
  runners_[name] = std::move(runner);
  OnRoutingChanged();
  created->Begin();
  events_.Add(v1::Event::POOL_CREATED, v1::Event::INFO, name, created->desired().application().target(), caller.name);
  return created->Create(caller);
}

absl::StatusOr<v1::Operation> Supervisor::Change(PoolRunner* runner, v1::Pool to, const v1::Canary* canary,
                                                 bool touched, const Caller& caller) {
  if (absl::Status status = CheckTogether(to); !status.ok()) return status;
  if (absl::Status status = runner->AdmitUpdate(to, canary); !status.ok()) return status;
  if (absl::Status status = MakeInboxes(to); !status.ok()) return status;
  const ChangeKind kind = KindOfChange(runner->desired(), to);
  const bool newly_touched = touched && state_.touched.insert(runner->name()).second;
  const bool holds_at_once = kind == ChangeKind::kLive && canary == nullptr;
  if (touched) {
    to.set_generation(runner->desired().generation() + (holds_at_once ? 1 : 0));
    // Before it is done: a change that cannot be kept is refused. What can be rolled back is kept when it has held.
    if (absl::Status status = Save(holds_at_once ? &to : nullptr); !status.ok()) {
      if (newly_touched) state_.touched.erase(runner->name());
      return status;
    }
  }
  absl::StatusOr<v1::Operation> operation = runner->Update(std::move(to), canary, caller);
  if (operation.ok() && kind != ChangeKind::kNone) {
    events_.Add(v1::Event::POOL_UPDATED, v1::Event::INFO, runner->name(),
                absl::StrCat("generation ", runner->desired().generation()), caller.name);
  }
  if (touched && (!operation.ok() || kind == ChangeKind::kStart)) {
    if (absl::Status status = Save(nullptr); !status.ok()) Warn(runner->name(), std::string(status.message()));
  }
  return operation;
}

absl::StatusOr<v1::Operation> Supervisor::Delete(PoolRunner* runner, bool touched, const Caller& caller) {
  const v1::Pool last = runner->desired();
  absl::StatusOr<v1::Operation> operation = runner->Delete(caller);
  if (!operation.ok() || !touched) return operation;
  state_.touched.erase(last.name());
  state_.deleted[last.name()] = last;
  if (absl::Status status = Save(nullptr); !status.ok()) Warn(last.name(), std::string(status.message()));
  return operation;
}

// ---- pools ----

std::vector<v1::Pool> Supervisor::ListPools() {
  std::vector<v1::Pool> pools;
  for (const auto& [name, runner] : runners_) {
    if (!IsDeleted(*runner)) pools.push_back(runner->Describe());
  }
  return pools;
}

absl::StatusOr<v1::Pool> Supervisor::GetPool(const std::string& name) {
  const absl::StatusOr<PoolRunner*> runner = FindPool(name);
  if (!runner.ok()) return runner.status();
  return (*runner)->Describe();
}

absl::StatusOr<v1::Operation> Supervisor::CreatePool(const v1::CreatePoolRequest& request, const Caller& caller) {
  if (stopping_) return absl::FailedPreconditionError("the server is stopping");
  if (request.pool_id().empty()) return ToStatus({{"pool_id", "must be given: it becomes the pool's name"}});
  v1::Pool pool = request.pool();
  pool.set_name(absl::StrCat("pools/", request.pool_id()));
  pool.clear_generation();
  pool.clear_create_time();
  pool.clear_update_time();
  pool.clear_status();
  pool.clear_etag();
  FillDefaults(&pool);
  Sweep();
  if (runners_.contains(pool.name()))
    return absl::AlreadyExistsError(absl::StrCat("there is ", pool.name(), " already"));
  if (!request.validate_only()) return Create(std::move(pool), /*touched=*/true, caller);
  if (absl::Status status = ToStatus(Validate(pool), "pool."); !status.ok()) return status;
  if (absl::Status status = CheckTogether(pool); !status.ok()) return status;
  return operations_.Validated("create", pool.name(), caller);
}

absl::StatusOr<v1::Operation> Supervisor::UpdatePool(const v1::UpdatePoolRequest& request, const Caller& caller) {
  if (stopping_) return absl::FailedPreconditionError("the server is stopping");
  const std::string& name = request.pool().name();
  const absl::StatusOr<PoolRunner*> runner = FindPool(name);
  if (!runner.ok()) {
    if (!request.allow_missing() || !absl::StartsWith(name, "pools/")) return runner.status();
    v1::CreatePoolRequest create;
    create.set_pool_id(name.substr(sizeof "pools/" - 1));
    *create.mutable_pool() = request.pool();
    create.set_validate_only(request.validate_only());
    return CreatePool(create, caller);
  }
  const v1::Pool& desired = (*runner)->desired();
  if (!request.pool().etag().empty() && request.pool().etag() != EtagOf(desired)) return StaleEtag(name);
  absl::StatusOr<v1::Pool> to = Merge(desired, request.pool(), request.update_mask());
  if (!to.ok()) return to.status();
  FillDefaults(&*to);
  if (absl::Status status = ToStatus(Validate(*to), "pool."); !status.ok()) return status;
  // What changes nothing needs no trial.
  const bool has_canary =
      request.has_canary() && request.canary().percent() != 0 && KindOfChange(desired, *to) != ChangeKind::kNone;
  if (has_canary) {
    const v1::Canary& canary = request.canary();
    std::vector<FieldViolation> wrong;
    if (canary.percent() < 0 || canary.percent() > 99) wrong.push_back({"canary.percent", "must be from 1 to 99"});
    if (canary.has_duration() && canary.duration().seconds() < 1) {
      wrong.push_back({"canary.duration", "must be at least 1s"});
    }
    if (!IsCoresOnly(desired, *to)) {
      wrong.push_back({"canary", "is for changes of engine, async_cores and stack_size_bytes, and of nothing else"});
    }
    if (absl::Status status = ToStatus(wrong); !status.ok()) return status;
  }
  const v1::Canary* canary = has_canary ? &request.canary() : nullptr;
  if (!request.validate_only()) return Change(*runner, *std::move(to), canary, /*touched=*/true, caller);
  if (absl::Status status = CheckTogether(*to); !status.ok()) return status;
  return operations_.Validated("update", name, caller);
}

absl::StatusOr<v1::Operation> Supervisor::DeletePool(const v1::DeletePoolRequest& request, const Caller& caller) {
  const absl::StatusOr<PoolRunner*> runner = FindPool(request.name());
  if (!runner.ok()) {
    if (request.allow_missing()) return operations_.Validated("delete", request.name(), caller);
    return runner.status();
  }
  if (!request.etag().empty() && request.etag() != EtagOf((*runner)->desired())) return StaleEtag(request.name());
  return Delete(*runner, /*touched=*/true, caller);
}

absl::StatusOr<v1::Operation> Supervisor::ReloadPool(const std::string& name, const Caller& caller) {
  const absl::StatusOr<PoolRunner*> runner = FindPool(name);
  if (!runner.ok()) return runner.status();
  return (*runner)->Reload(caller);
}

absl::StatusOr<v1::Operation> Supervisor::DrainPool(const std::string& name, const Caller& caller) {
  const absl::StatusOr<PoolRunner*> runner = FindPool(name);
  if (!runner.ok()) return runner.status();
  absl::StatusOr<v1::Operation> operation = (*runner)->Drain(caller);
  if (operation.ok()) KeepWhatHolds(*runner);
  return operation;
}

absl::StatusOr<v1::Operation> Supervisor::ResumePool(const std::string& name, const Caller& caller) {
  const absl::StatusOr<PoolRunner*> runner = FindPool(name);
  if (!runner.ok()) return runner.status();
  absl::StatusOr<v1::Operation> operation = (*runner)->Resume(caller);
  if (operation.ok()) KeepWhatHolds(*runner);
  return operation;
}

// Draining and resuming are not refused for a full disk: it is said, and they last until the server ends.
void Supervisor::KeepWhatHolds(PoolRunner* runner) {
  state_.touched.insert(runner->name());
  if (absl::Status status = Save(nullptr); !status.ok()) Warn(runner->name(), std::string(status.message()));
}

}  // namespace greenring::control
