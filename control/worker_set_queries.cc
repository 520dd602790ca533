// What there is in a WorkerSet.
#include <algorithm>

#include "control/worker_set.h"
#include "proto/histogram.h"

namespace greenring::control {
namespace {

using State = SupervisedWorker::State;

bool IsReadyOf(const std::unique_ptr<SupervisedWorker>& worker, int64_t epoch) {
  return worker != nullptr && worker->state() == State::kReady && worker->identity().epoch >= epoch;
}

}  // namespace

bool WorkerSet::AllReady(int64_t epoch) const {
  return target_.serving && static_cast<int>(slots_.size()) == target_.slots &&
         CountReadyOf(epoch, /*generation=*/0) == target_.slots;
}

bool WorkerSet::AllRun(int64_t generation) const {
  for (const auto& [number, slot] : slots_) {
    if (slot.current == nullptr || !slot.current->Runs(generation)) return false;
    if (IsReadyOf(slot.successor, 0) && !slot.successor->Runs(generation)) return false;
  }
  return true;
}

int WorkerSet::CountReady() const { return CountReadyOf(0, 0); }

int WorkerSet::CountReadyOf(int64_t epoch, int64_t generation) const {
  return static_cast<int>(std::count_if(slots_.begin(), slots_.end(), [&](const auto& entry) {
    return IsReadyOf(entry.second.current, epoch) && (generation == 0 || entry.second.current->Runs(generation));
  }));
}

int WorkerSet::CountPrepared() const {
  return static_cast<int>(std::count_if(slots_.begin(), slots_.end(), [&](const auto& entry) {
    return entry.first <= target_.slots && IsPrepared(entry.second);
  }));
}

bool WorkerSet::empty() const { return All().empty(); }

bool WorkerSet::AnyAcceptsAbove(int slot) const {
  for (const SupervisedWorker* worker : All()) {
    if (worker->identity().slot > slot && worker->state() != State::kDraining) return true;
  }
  return false;
}

std::vector<SupervisedWorker*> WorkerSet::All() const {
  std::vector<SupervisedWorker*> all;
  for (const auto& [number, slot] : slots_) {
    if (slot.current != nullptr) all.push_back(slot.current.get());
    if (slot.successor != nullptr) all.push_back(slot.successor.get());
  }
  for (const auto& worker : leaving_) all.push_back(worker.get());
  std::sort(all.begin(), all.end(),
            [](const auto* left, const auto* right) { return left->identity().number < right->identity().number; });
  return all;
}

SupervisedWorker* WorkerSet::Find(const std::string& name) const {
  for (SupervisedWorker* worker : All()) {
    if (worker->name() == name) return worker;
  }
  return nullptr;
}

SupervisedWorker* WorkerSet::Current(int slot) const {
  const auto found = slots_.find(slot);
  return found == slots_.end() ? nullptr : found->second.current.get();
}

v1::Statistics WorkerSet::TotalStatistics() const {
  v1::Statistics total = ended_statistics_;
  for (const SupervisedWorker* worker : All()) proto::AddTo(&total, worker->report().statistics());
  return total;
}

}  // namespace greenring::control
