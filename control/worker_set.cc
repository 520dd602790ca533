#include "control/worker_set.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "control/cpu_affinity.h"
#include "google/protobuf/util/message_differencer.h"
#include "proto/histogram.h"

namespace greenring::control {
namespace {

// Whoever has been ready for so long was well: what its slot failed at before does not count any more.
constexpr int64_t kHealthyNs = 60 * kNanosecondsPerSecond;

using State = SupervisedWorker::State;
using End = SupervisedWorker::End;

bool IsReady(const std::unique_ptr<SupervisedWorker>& worker) {
  return worker != nullptr && worker->state() == State::kReady;
}

bool IsStarting(const std::unique_ptr<SupervisedWorker>& worker) {
  return worker != nullptr && worker->state() == State::kStarting;
}

}  // namespace

WorkerSet::WorkerSet(Environment environment, std::string pool_name, PoolSockets* sockets, Owner* owner)
    : environment_(std::move(environment)), pool_name_(std::move(pool_name)), sockets_(sockets), owner_(owner) {}

void WorkerSet::Reconcile() {
  for (int number = 1; target_.serving && number <= target_.slots; ++number) slots_.try_emplace(number);
  UpdateActiveSlots();  // nothing more is sent to slots that go, before their workers do
  for (auto& [number, slot] : slots_) ReconcileSlot(number, &slot);
  SwapWhatIsPrepared();
  std::erase_if(slots_, [this](const auto& entry) {
    return entry.second.current == nullptr && (!target_.serving || entry.first > target_.slots);
  });
  UpdateActiveSlots();
}

void WorkerSet::ReconcileSlot(int number, Slot* slot) {
  if (!target_.serving) return LetSlotGo(slot, target_.leaves_first ? Manner::kLeaveFirst : Manner::kDrain);
  if (number > target_.slots) return LetSlotGo(slot, Manner::kLeaveFirst);

  if (slot->successor != nullptr && (slot->successor->identity().epoch < target_.epoch || !slot->successor->IsLive())) {
    LetGo(std::move(slot->successor), target_.reason, Manner::kDrain);
  }
  if (slot->current != nullptr && !slot->current->IsLive()) {
    // It drains by itself: a failure like a death, but that its requests finish.
    if (slot->successor == nullptr) WaitBeforeNextStart(*slot->current, slot, /*successor=*/false);
    leaving_.push_back(std::move(slot->current));
  }
  if (IsStarting(slot->current) && IsStale(*slot)) LetGo(std::move(slot->current), target_.reason, Manner::kDrain);
  if (slot->current == nullptr) {
    slot->replace_reason.clear();
    if (slot->successor != nullptr) {
      slot->current = std::move(slot->successor);
    } else {
      FillVacancy(number, slot);
    }
    return;
  }
  if (!IsStale(*slot) || slot->successor != nullptr || !MayStartAnotherSuccessor()) return;
  const int64_t now_ns = environment_.worker.timers->NowNs();
  if (now_ns < slot->not_before_ns) return RetryAt(slot, slot->not_before_ns);
  slot->successor = StartWorker(number, slot, /*successor=*/true);
}

void WorkerSet::FillVacancy(int number, Slot* slot) {
  const int64_t now_ns = environment_.worker.timers->NowNs();
  int64_t not_before_ns = slot->not_before_ns;
  if (configuration_is_to_blame_) {
    if (AnyStarts()) return;  // that one tries; there is more to do when it has succeeded or failed
    not_before_ns = std::max(not_before_ns, configuration_not_before_ns_);
  }
  if (now_ns < not_before_ns) return RetryAt(slot, not_before_ns);
  slot->current = StartWorker(number, slot, /*successor=*/false);
}

void WorkerSet::SwapWhatIsPrepared() {
  if (!target_.serving) return;
  bool all_prepared = true;
  for (int number = 1; number <= target_.slots; ++number) all_prepared = all_prepared && IsPrepared(slots_.at(number));
  for (auto& [number, slot] : slots_) {
    if (number > target_.slots || slot.current == nullptr || !IsReady(slot.successor)) continue;
    const bool with_others = target_.swap_together && slot.current->identity().epoch < target_.epoch;
    if (!with_others || all_prepared) Swap(&slot);
  }
}

void WorkerSet::Swap(Slot* slot) {
  std::string reason = target_.reason;
  if (!slot->replace_reason.empty()) {
    reason = slot->replace_reason;
  } else if (!slot->current->unfit_reason().empty()) {
    reason = absl::StrCat("recycled: ", slot->current->unfit_reason());
  }
  slot->replace_reason.clear();
  LetGo(std::exchange(slot->current, std::move(slot->successor)), reason, Manner::kDrain);
}

bool WorkerSet::IsPrepared(const Slot& slot) const {
  if (IsReady(slot.successor)) return slot.successor->identity().epoch >= target_.epoch;
  return IsReady(slot.current) && slot.current->identity().epoch >= target_.epoch;
}

bool WorkerSet::IsStale(const Slot& slot) const {
  return slot.current->identity().epoch < target_.epoch || !slot.replace_reason.empty() ||
         !slot.current->unfit_reason().empty();
}

// New workers import the application while the old ones serve: no more than a quarter of the slots at a time.
bool WorkerSet::MayStartAnotherSuccessor() const {
  int starting = 0;
  for (const auto& [number, slot] : slots_) starting += IsStarting(slot.successor) ? 1 : 0;
  return starting < std::max(1, target_.slots / 4);
}

std::unique_ptr<SupervisedWorker> WorkerSet::StartWorker(int number, Slot* slot, bool successor) {
  slot->retry.reset();
  SupervisedWorker::Identity identity = {.name = absl::StrCat(pool_name_, "/workers/", ++last_number_),
                                         .number = last_number_,
                                         .slot = number,
                                         .epoch = target_.epoch};
  auto worker = std::make_unique<SupervisedWorker>(environment_.worker, std::move(identity), target_.start,
                                                   static_cast<SupervisedWorker::Owner*>(this));
  const absl::Status status = worker->Start(sockets_->Of(target_.start, number), routes_,
                                            CpusOf(target_.start.cpu_affinity(), number, environment_.cpus));
  if (!status.ok()) {
    WaitBeforeNextStart(*worker, slot, successor);
    Record(*worker);
    stillborn_.push_back({std::move(worker), successor});
    stillborn_timer_ = environment_.worker.timers->After(0, [this] { TellOfStillborn(); });
    RetryAt(slot, slot->not_before_ns);
    return nullptr;
  }
  if (target_.live.generation() != target_.start.generation()) worker->Apply(target_.live, target_.canary_percent);
  return worker;
}

void WorkerSet::TellOfStillborn() {
  for (const Stillborn& stillborn : std::exchange(stillborn_, {})) {
    owner_->OnStartFailed(*stillborn.worker, stillborn.successor);
  }
  Changed();
}

void WorkerSet::LetGo(std::unique_ptr<SupervisedWorker> worker, const std::string& reason, Manner manner) {
  switch (worker->state()) {
    case State::kStarting:
      worker->Kill(absl::StrCat("stopped before it was ready: ", reason));
      break;
    case State::kReady:
      manner == Manner::kLeaveFirst ? worker->Leave(reason) : worker->Drain(reason);
      break;
    case State::kLeaving:
    case State::kDraining:
    case State::kEnded:
      break;  // on its way already
  }
  leaving_.push_back(std::move(worker));
}

void WorkerSet::LetSlotGo(Slot* slot, Manner manner) {
  slot->retry.reset();
  if (slot->current != nullptr) LetGo(std::move(slot->current), target_.reason, manner);
  if (slot->successor != nullptr) LetGo(std::move(slot->successor), target_.reason, manner);
}

// Slots with a worker that is ready. When there is none connections wait everywhere, and are taken by whoever comes.
void WorkerSet::UpdateActiveSlots() {
  const int slots = std::min(target_.slots, sockets_->slots());
  if (slots == 0) return;
  std::vector<int> ready;
  std::vector<int> all;
  for (int number = 1; number <= slots; ++number) {
    all.push_back(number);
    const auto slot = slots_.find(number);
    if (slot == slots_.end()) continue;
    if (IsReady(slot->second.current) || IsReady(slot->second.successor)) ready.push_back(number);
  }
  if (target_.serving && !ready.empty()) return sockets_->SetActiveSlots(ready, Readiness::kNow);
  const bool starts = target_.serving && start_error_.empty();
  sockets_->SetActiveSlots(all, starts ? Readiness::kSoon : Readiness::kNever);
}

void WorkerSet::WaitBeforeNextStart(const SupervisedWorker& worker, Slot* slot, bool successor) {
  const int64_t now_ns = environment_.worker.timers->NowNs();
  const bool start_failed = worker.end() == End::kStartFailed || worker.end() == End::kStartFailedConfiguration;
  if (start_failed && !successor) {
    start_error_ = worker.end_reason();
    const std::string dump = worker.Describe().end_dump();
    if (worker.end() == End::kStartFailed && !dump.empty()) absl::StrAppend(&start_error_, "\n", dump);
  }
  if (worker.end() == End::kStartFailedConfiguration && !successor) {
    // All that start at the same time fail of the same.
    if (!configuration_is_to_blame_ || now_ns >= configuration_not_before_ns_) {
      configuration_not_before_ns_ = now_ns + configuration_backoff_.Next(environment_.random);
    }
    configuration_is_to_blame_ = true;
    return;
  }
  if (worker.ready_since_ns() > 0 && now_ns - worker.ready_since_ns() >= kHealthyNs) slot->backoff.Reset();
  int64_t delay_ns = slot->backoff.Next(environment_.random);
  if (start_failed) delay_ns = std::max(delay_ns, kDeathBackoff.first_ns);
  slot->not_before_ns = now_ns + delay_ns;
}

void WorkerSet::RetryAt(Slot* slot, int64_t instant_ns) {
  slot->retry = environment_.worker.timers->After(
      std::max<int64_t>(0, instant_ns - environment_.worker.timers->NowNs()), [this] { Changed(); });
}

bool WorkerSet::AnyStarts() const {
  return std::any_of(slots_.begin(), slots_.end(), [](const auto& entry) {
    return IsStarting(entry.second.current) || IsStarting(entry.second.successor);
  });
}

void WorkerSet::ApplyToAll() {
  for (SupervisedWorker* worker : All()) worker->Apply(target_.live, target_.canary_percent);
}

void WorkerSet::SetRoutes(const WorkerRoutes& routes) {
  const bool same = routes.descriptors == routes_.descriptors &&
                    google::protobuf::util::MessageDifferencer::Equals(routes.message, routes_.message);
  if (same) return;
  routes_ = routes;
  for (SupervisedWorker* worker : All()) worker->SetRoutes(routes_);
}

void WorkerSet::Replace(int slot, const std::string& reason) { slots_.at(slot).replace_reason = reason; }

void WorkerSet::CancelReplacement(int slot) {
  const auto found = slots_.find(slot);
  if (found == slots_.end()) return;
  found->second.replace_reason.clear();
  if (found->second.successor != nullptr) {
    LetGo(std::move(found->second.successor), "its predecessor stays", Manner::kDrain);
  }
}

void WorkerSet::Retreat(const std::string& reason, bool replace_newer) {
  for (auto& [number, slot] : slots_) {
    if (slot.successor != nullptr) LetGo(std::move(slot.successor), reason, Manner::kDrain);
    if (slot.current == nullptr || !replace_newer || slot.current->identity().epoch <= target_.epoch) continue;
    slot.replace_reason = reason;
  }
}

void WorkerSet::ForgetFailures() {
  configuration_is_to_blame_ = false;
  configuration_backoff_.Reset();
  start_error_.clear();
  for (auto& [number, slot] : slots_) {
    slot.backoff.Reset();
    slot.not_before_ns = 0;
  }
}

void WorkerSet::KillAll() {
  for (SupervisedWorker* worker : All()) worker->Kill("killed: the server ends at once");
}

void WorkerSet::DumpAll() {
  for (SupervisedWorker* worker : All()) {
    if (worker->handle() == nullptr) continue;
    worker::v1::ToWorker message;
    message.mutable_dump();
    worker->handle()->Tell(std::move(message), {});
  }
}

void WorkerSet::OnWorkerReady(SupervisedWorker* worker) {
  owner_->OnReady(*worker);
  start_error_.clear();
  configuration_is_to_blame_ = false;
  configuration_backoff_.Reset();
  Changed();
}

void WorkerSet::OnWorkerChanged(SupervisedWorker*) { Changed(); }

void WorkerSet::OnApplyRefused(SupervisedWorker* worker, int64_t generation, const std::string& why) {
  owner_->OnApplyRefused(*worker, generation, why);
  Changed();
}

void WorkerSet::OnWorkerEnded(SupervisedWorker* ended) {
  std::unique_ptr<SupervisedWorker> worker;
  bool successor = false;
  if (const auto slot = slots_.find(ended->identity().slot); slot != slots_.end()) {
    successor = slot->second.successor.get() == ended;
    auto& place = successor ? slot->second.successor : slot->second.current;
    if (place.get() == ended) {
      worker = std::move(place);
      WaitBeforeNextStart(*worker, &slot->second, successor);
    }
  }
  if (worker == nullptr) {
    const auto place = std::find_if(leaving_.begin(), leaving_.end(), [&](const auto& w) { return w.get() == ended; });
    worker = std::move(*place);
    leaving_.erase(place);
  }
  Record(*worker);
  owner_->OnEnded(*worker);
  if (worker->end() == End::kDied) {
    ++restarts_;
    owner_->OnDied(*worker);
  } else if (worker->end() == End::kStartFailed || worker->end() == End::kStartFailedConfiguration) {
    owner_->OnStartFailed(*worker, successor);
  }
  Changed();
}

void WorkerSet::Record(const SupervisedWorker& worker) {
  ended_.push_back(worker.Describe());
  if (ended_.size() > kEndedMax) ended_.pop_front();
  v1::Statistics counters = worker.report().statistics();
  proto::ClearGauges(&counters);
  proto::AddTo(&ended_statistics_, counters);
}

void WorkerSet::Changed() {
  Reconcile();
  owner_->OnWorkersChanged();
}

}  // namespace greenring::control
