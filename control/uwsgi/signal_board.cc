#include "control/uwsgi/signal_board.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace greenring::control {
namespace {

// What a target stands for.
struct Target {
  enum class Kind { kAny, kAll, kSlot } kind = Kind::kAny;
  int slot = 0;
};

absl::StatusOr<Target> ParseTarget(const std::string& text) {
  int slot = 0;
  if (text.empty() || text == "worker" || text == "worker0") return Target();
  if (text == "workers" || text == "active-workers") return Target{.kind = Target::Kind::kAll};
  if (absl::StartsWith(text, "worker") && absl::SimpleAtoi(absl::string_view(text).substr(6), &slot) && slot > 0) {
    return Target{.kind = Target::Kind::kSlot, .slot = slot};
  }
  return absl::InvalidArgumentError(
      absl::StrCat("there is no target \"", text,
                   "\" of signals: use \"worker\" for any one worker, \"workers\" for all, or \"worker2\" for the "
                   "second; there are no mules, spoolers or farms: a handler has a green thread of its own, and a pool "
                   "of its own can do work in the background"));
}

}  // namespace

// ---- claims --------------------------------------------------------------------------------------------------------

void SignalBoard::Claimed(Claim* claim, WorkerNumber worker) {
  claim->workers.insert(worker);
  claim->keep_until_ns = kNeverNs;
}

void SignalBoard::Unclaimed(Claim* claim, WorkerNumber worker) {
  if (claim->workers.erase(worker) == 0 || !claim->workers.empty()) return;
  claim->keep_until_ns = timers_->NowNs() + kKeepNs;
  SweepLater();
}

void SignalBoard::OnWorkerReady(WorkerNumber worker) { workers_[worker].ready = true; }

void SignalBoard::OnWorkerEnded(WorkerNumber worker) {
  workers_.erase(worker);
  for (auto& [signal, registration] : registrations_) Unclaimed(&registration, worker);
  for (auto& [name, claim] : names_) Unclaimed(&claim, worker);
  for (Source& source : sources_) Unclaimed(&source, worker);
}

void SignalBoard::SweepLater() {
  if (sweep_ == nullptr) sweep_ = timers_->After(kKeepNs, [this] { Sweep(); });
}

void SignalBoard::Sweep() {
  sweep_.reset();
  const int64_t now_ns = timers_->NowNs();
  const auto outdated = [now_ns](const Claim& claim) { return claim.keep_until_ns <= now_ns; };
  std::erase_if(registrations_, [&](const auto& entry) { return outdated(entry.second); });
  std::erase_if(names_, [&](const auto& entry) { return outdated(entry.second); });
  for (auto source = sources_.begin(); source != sources_.end();) {
    const auto next = std::next(source);
    if (outdated(*source)) Remove(source);
    source = next;
  }
  const auto waits = [](const Claim& claim) { return claim.keep_until_ns != kNeverNs; };
  if (std::any_of(registrations_.begin(), registrations_.end(),
                  [&](const auto& entry) { return waits(entry.second); }) ||
      std::any_of(names_.begin(), names_.end(), [&](const auto& entry) { return waits(entry.second); }) ||
      std::any_of(sources_.begin(), sources_.end(), waits)) {
    SweepLater();
  }
}

// ---- registrations -------------------------------------------------------------------------------------------------

absl::Status SignalBoard::CheckSignal(int signal) {
  if (signal >= 0 && signal < kSignals) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("a signal is a number from 0 to 255, not ", signal));
}

absl::Status SignalBoard::Register(WorkerNumber worker, int signal, const std::string& target) {
  if (absl::Status status = CheckSignal(signal); !status.ok()) return status;
  const absl::StatusOr<Target> parsed = ParseTarget(target);
  if (!parsed.ok()) return parsed.status();
  Registration& registration = registrations_[signal];
  registration.target = target;
  Claimed(&registration, worker);
  workers_[worker];
  return absl::OkStatus();
}

absl::StatusOr<int> SignalBoard::SignalFor(WorkerNumber worker, const std::string& name) {
  workers_[worker];
  auto found = names_.find(name);
  if (found == names_.end()) {
    std::array<bool, kSignals> taken = {};
    for (const auto& [signal, registration] : registrations_) taken[static_cast<size_t>(signal)] = true;
    for (const auto& [other, claim] : names_) taken[static_cast<size_t>(claim.signal)] = true;
    const auto free = std::find(taken.begin(), taken.end(), false);
    if (free == taken.end()) return absl::ResourceExhaustedError("all 256 signals are registered");
    found = names_.emplace(name, Name{{}, static_cast<int>(free - taken.begin())}).first;
  }
  Claimed(&found->second, worker);
  return found->second.signal;
}

bool SignalBoard::IsRegistered(int signal) const {
  const auto found = registrations_.find(signal);
  return found != registrations_.end() && !found->second.workers.empty();
}

// ---- where signals go ----------------------------------------------------------------------------------------------

absl::StatusOr<std::vector<SignalBoard::ReadyWorker>> SignalBoard::Addressees(int signal) {
  const auto found = registrations_.find(signal);
  if (found == registrations_.end()) {
    return absl::NotFoundError(absl::StrCat("nobody has registered signal ", signal));
  }
  const Registration& registration = found->second;
  const Target target = ParseTarget(registration.target).value();  // it was registered
  std::vector<ReadyWorker> ready = host_->ReadyWorkers();
  std::erase_if(ready, [&](const ReadyWorker& worker) {
    return !registration.workers.contains(worker.number) ||
           (target.kind == Target::Kind::kSlot && worker.slot != target.slot);
  });
  if (ready.empty()) {
    return absl::UnavailableError(absl::StrCat("no worker that has registered signal ", signal, " for \"",
                                               registration.target, "\" is ready to take it"));
  }
  if (target.kind != Target::Kind::kAny) return ready;
  int& last = last_slot_[signal];
  const auto next =
      std::find_if(ready.begin(), ready.end(), [last](const ReadyWorker& worker) { return worker.slot > last; });
  const ReadyWorker chosen = next != ready.end() ? *next : ready.front();
  last = chosen.slot;
  return std::vector<ReadyWorker>{chosen};
}

absl::Status SignalBoard::Send(int signal, bool by_itself) {
  if (absl::Status status = CheckSignal(signal); !status.ok()) return status;
  const absl::StatusOr<std::vector<ReadyWorker>> addressees = Addressees(signal);
  if (!addressees.ok()) return addressees.status();
  for (const ReadyWorker& worker : *addressees) Deliver(worker.number, signal, by_itself);
  return absl::OkStatus();
}

void SignalBoard::Deliver(WorkerNumber number, int signal, bool by_itself) {
  Worker& worker = workers_[number];
  const auto pending = worker.pending.find(signal);
  if ((by_itself && pending != worker.pending.end()) || worker.pending_count >= kPendingMax) {
    ++dropped_;
    if (std::exchange(worker.told_of_drops, true)) return;
    return host_->Warn(absl::StrCat("worker ", number, " has not taken signal ", signal,
                                    " yet: what follows is dropped until it does"));
  }
  ++worker.pending[signal];
  ++worker.pending_count;
  host_->Deliver(number, signal, [this, number, signal](bool taken) {
    const auto found = workers_.find(number);
    if (found == workers_.end()) return;
    Worker& taker = found->second;
    taker.taken += taken ? 1 : 0;
    --taker.pending_count;
    taker.told_of_drops = false;
    if (--taker.pending[signal] == 0) taker.pending.erase(signal);
  });
}

int64_t SignalBoard::TakenBy(WorkerNumber worker) const {
  const auto found = workers_.find(worker);
  return found != workers_.end() ? found->second.taken : 0;
}

}  // namespace greenring::control
